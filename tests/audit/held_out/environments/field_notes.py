"""Field notes of a bird count."""

import json
import random
import tempfile
from pathlib import Path

from turnwright import Environment, Task, ToolError, call, say, tool

BIRDS = ("heron", "wren", "teal", "snipe", "plover")
RANGES = {"train": (0, 20), "validation": (20, 28), "test": (28, 40)}


class FieldNotes(Environment):
    """Write a note per bird seen at a site, then tell which bird was most frequent."""

    instructions = (
        "Call look for each of the three hides 1, 2 and 3, and write one note per hide with what you saw. Then answer "
        "with the bird that was seen most often in all, as a single word."
    )
    typical_turns = 7

    def tasks(self, split):
        """Return one site per task."""
        return [self.site(split, number) for number in range(*RANGES[split])]

    def site(self, split, number):
        """Draw what is seen at a site; one bird is ahead of all others."""
        chance = random.Random(f"site {number}")
        most = chance.choice(BIRDS)
        hides = [{bird: chance.randint(0, 4) for bird in chance.sample(BIRDS, 4)} for _ in range(3)]
        hides[chance.randrange(3)][most] = 15
        data = {"site": f"S{number + 60}", "hides": hides, "most": most}
        return Task(id=f"site-{number}", prompt=f"Site S{number + 60}", data=data, split=split)

    def open(self, task, seed):
        """Make a folder for the notes."""
        super().open(task, seed)
        self.folder = Path(tempfile.mkdtemp(prefix=f"notes-{task.id}-"))

    @tool
    def look(self, hide: int) -> dict[str, int]:
        """Return how many birds of each kind a hide sees.

        Args:
            hide: 1, 2 or 3.
        """
        if hide not in (1, 2, 3):
            raise ToolError(f"there is no hide {hide}")
        return self.task.data["hides"][hide - 1]

    @tool
    def write_note(self, hide: int, text: str) -> str:
        """Write the note of a hide.

        Args:
            hide: 1, 2 or 3.
            text: What was seen.
        """
        if hide not in (1, 2, 3):
            raise ToolError(f"there is no hide {hide}")
        (self.folder / f"hide{hide}.txt").write_text(text, encoding="utf-8")
        return f"note {hide} written"

    def reward(self, episode):
        """Return 1 for the right bird and all three notes."""
        notes = len(list(self.folder.glob("hide*.txt")))
        return float(notes == 3 and episode.answer.strip() == episode.task.data["most"])

    def oracle(self, task):
        """Look, write, add up."""
        total = dict.fromkeys(BIRDS, 0)
        for hide in (1, 2, 3):
            (seen,) = yield call("look", hide=hide)
            yield call("write_note", hide=hide, text=seen.content)
            for bird, count in json.loads(seen.content).items():
                total[bird] += count
        yield say(max(total, key=total.__getitem__))
