"""Work in an archive of log files that lies in a folder of the episode."""

import os
import random
from pathlib import Path

from turnwright import Task, ToolError, call, say, tool
from turnwright.environments.resources.folder import TemporaryFolder
from turnwright.environments.stateful import StatefulEnvironment

WORDS = ("timeout", "refused", "denied", "retry")


class LogArchive(StatefulEnvironment):
    """Find the file with most errors and delete the empty ones."""

    instructions = (
        "The archive holds files. list_files lists them with their number of lines, count counts a word in a file, "
        "remove deletes a file. Remove the files without lines, then answer with the file in which the word of the "
        "task occurs most often: file: NAME"
    )
    typical_turns = 7
    resources = {"archive": TemporaryFolder()}  # noqa: RUF012
    archive: Path

    def tasks(self, split):
        rng = random.Random("logs-" + split)
        for i in range({"train": 30, "validation": 10, "test": 10}[split]):
            word = rng.choice(WORDS)
            counts = rng.sample(range(1, 12), 3)
            names = rng.sample(["auth", "mail", "web", "cron", "db", "dns"], 4)
            files = {f"{name}.log": n for name, n in zip(names, [*counts, 0], strict=True)}
            gold = max(files, key=files.__getitem__)
            prompt = f"{split} archive {i}: look for {word}"
            data = {"files": files, "word": word, "gold": gold}
            yield Task(id=f"{split}-{i}", prompt=prompt, data=data, split=split)

    def open(self, task, seed):
        super().open(task, seed)
        for name, lines in task.data["files"].items():
            (self.archive / name).write_text(f"connection {task.data['word']}\n" * lines)
        os.chdir(self.archive)

    @tool
    def list_files(self) -> dict[str, int]:
        """List the files with their number of lines."""
        return {path.name: len(path.read_text().splitlines()) for path in sorted(self.archive.iterdir())}

    @tool
    def count(self, file: str, word: str) -> int:
        """Count a word in a file.

        Args:
            file: Name of the file.
            word: What to count.
        """
        return self._path(file).read_text().split().count(word)

    @tool
    def remove(self, file: str) -> str:
        """Delete a file.

        Args:
            file: Name of the file.
        """
        self._path(file).unlink()
        return "removed"

    def _path(self, file):
        path = self.archive / Path(file).name
        if not path.is_file():
            raise ToolError(f"no file {file}")
        return path

    def reward(self, episode):
        expected = sorted(name for name, lines in episode.task.data["files"].items() if lines)
        left = sorted(self.state_of("archive"))
        return float(left == expected and episode.answer.strip() == f"file: {episode.task.data['gold']}")

    def oracle(self, task):
        yield call("list_files")
        counts = {}
        for name, lines in task.data["files"].items():
            if not lines:
                yield call("remove", file=name)
                continue
            (found,) = yield call("count", file=name, word=task.data["word"])
            counts[name] = int(found.content)
        yield say("file: " + max(counts, key=counts.__getitem__))
