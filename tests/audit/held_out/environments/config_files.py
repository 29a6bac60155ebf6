"""Configuration files of a service, in a folder of the episode's own."""

import json
import random

from turnwright import Task, ToolError, call, say, tool
from turnwright.environments.resources.folder import TemporaryFolder
from turnwright.environments.stateful import StatefulEnvironment

KEYS = ("port", "workers", "timeout", "retries", "cache")
PARTS = {"train": (0, 20), "validation": (20, 28), "test": (28, 40)}


class ConfigFiles(StatefulEnvironment):
    """Set a value in all files that have it, and touch no other file."""

    instructions = (
        "Call list_files and read_file. In every file that has a line with the key you are told, write that file anew "
        "with the new value, all other lines as they are. Leave other files alone. Say done in the end."
    )
    typical_turns = 8
    resources = {"files": TemporaryFolder()}  # noqa: RUF012

    def tasks(self, split):
        """Return one change per task."""
        return [self.change(split, number) for number in range(*PARTS[split])]

    def change(self, split, number):
        """Draw three files of which one or two have the key."""
        chance = random.Random(f"config {number}")
        key, value = chance.choice(KEYS), chance.randint(100, 999)
        others = [other for other in KEYS if other != key]
        files = {}
        for place, name in enumerate(chance.sample(["api.conf", "jobs.conf", "mail.conf", "web.conf"], 3)):
            keys = chance.sample(others, 2) + ([key] if place == 0 or (place == 1 and chance.random() < 0.5) else [])
            chance.shuffle(keys)
            files[name] = "".join(f"{one}={chance.randint(1, 99)}\n" for one in keys)
        data = {"files": files, "expected": {name: changed(text, key, value) for name, text in files.items()}}
        return Task(id=f"config-{number}", prompt=f"Set {key} to {value}.", data=data, split=split)

    def open(self, task, seed):
        """Write the files."""
        super().open(task, seed)
        for name, text in task.data["files"].items():
            (self.resource("files") / name).write_text(text, encoding="utf-8")

    @tool
    def list_files(self) -> list[str]:
        """Return the names of all files."""
        return sorted(path.name for path in self.resource("files").iterdir())

    @tool
    def read_file(self, name: str) -> str:
        """Return the text of a file.

        Args:
            name: Name of the file.
        """
        return self._file(name).read_text(encoding="utf-8")

    @tool
    def write_file(self, name: str, text: str) -> str:
        """Replace the text of a file.

        Args:
            name: Name of the file.
            text: The whole new text.
        """
        self._file(name).write_text(text, encoding="utf-8")
        return f"{name} has {len(text)} characters"

    def _file(self, name):
        if name not in self.list_files():
            raise ToolError(f"no file {name}")
        return self.resource("files") / name

    def reward(self, episode):
        """Return 1 when all files read as they should."""
        files = {name: self._file(name).read_text(encoding="utf-8") for name in self.list_files()}
        return float(files == episode.task.data["expected"])

    def oracle(self, task):
        """Read all files, write those with the key."""
        key, value = task.prompt.rstrip(".").split()[1::2]
        (names,) = yield call("list_files")
        for name in json.loads(names.content):
            (text,) = yield call("read_file", name=name)
            new = changed(text.content, key, value)
            if new != text.content:
                yield call("write_file", name=name, text=new)
        yield say("done")


def changed(text, key, value):
    """Return a file's text with another value of a key."""
    lines = text.splitlines()
    return "".join(f"{key}={value}\n" if line.startswith(f"{key}=") else f"{line}\n" for line in lines)
