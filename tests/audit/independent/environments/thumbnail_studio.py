"""Photo studio: choose the size of a thumbnail and render it into a work folder."""

import json
import random
import tempfile
from pathlib import Path

from turnwright import Environment, Task, ToolError, call, say, tool

SIZES = {"web": 320, "print": 1200, "icon": 64}


class ThumbnailStudio(Environment):
    """Render a photo at the size its use asks for, and say how high it becomes."""

    instructions = (
        "photo gives width, height and use of the photo. Widths by use: web 320, print 1200, icon 64. Call render with "
        "that width, then answer with the height the picture has at that width, rounded down: 'height: N'."
    )
    typical_turns = 3

    def tasks(self, split):
        rng = random.Random(f"studio_{split}")
        for i in range({"train": 33, "validation": 11, "test": 11}[split]):
            photo = {"width": rng.randrange(800, 4000), "height": rng.randrange(600, 3000), "use": rng.choice([*SIZES])}
            gold = SIZES[photo["use"]] * photo["height"] // photo["width"]
            name = f"{split[:3]}_{rng.randrange(1000, 9999)}_{i}.png"
            yield Task(
                id=name, prompt=f"A thumbnail of {name}, please.", data={"photo": photo, "gold": gold}, split=split
            )

    def open(self, task, seed):
        super().open(task, seed)
        self.folder = Path(tempfile.mkdtemp(prefix="studio-"))

    @tool
    def photo(self) -> dict:
        """Return width and height in pixels of the photo, and what the thumbnail is for."""
        return self.task.data["photo"]

    @tool
    def render(self, width: int) -> str:
        """Render the thumbnail.

        Args:
            width: In pixels, 16 to 2000.
        """
        if not 16 <= width <= 2000:
            raise ToolError("width must be 16 to 2000")
        (self.folder / "thumbnail.json").write_text(json.dumps({"width": width}))
        return "rendered"

    def reward(self, episode):
        rendered = self.folder / "thumbnail.json"
        if not rendered.exists():
            return 0.0
        right = json.loads(rendered.read_text())["width"] == SIZES[episode.task.data["photo"]["use"]]
        return float(right and episode.answer.strip() == f"height: {episode.task.data['gold']}")

    def oracle(self, task):
        (found,) = yield call("photo")
        photo = json.loads(found.content)
        width = SIZES[photo["use"]]
        yield call("render", width=width)
        yield say(f"height: {width * photo['height'] // photo['width']}")
