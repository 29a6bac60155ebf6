"""Filing: documents are moved into the folder that their stamp asks for."""

import json
import random
from pathlib import Path

from turnwright import Task, ToolError, call, say, tool
from turnwright.environments.resources.folder import TemporaryFolder
from turnwright.environments.stateful import StatefulEnvironment

YEARS = ("2019", "2020", "2021")


class ArchiveFolders(StatefulEnvironment):
    """File every document of the in-tray under its year; drafts stay where they are."""

    instructions = (
        "list_tray names the documents of the in-tray, stamp tells a document's year and whether it is a draft. Move "
        "each document that is no draft into the folder of its year with file_under. Say filed when nothing is left "
        "to do."
    )
    typical_turns = 8
    resources = {"cabinet": TemporaryFolder()}  # noqa: RUF012
    cabinet: Path

    def tasks(self, split):
        rng = random.Random(f"cabinet {split}")
        for n in range({"train": 30, "validation": 10, "test": 10}[split]):
            names = rng.sample(["lease", "offer", "deed", "plan", "list", "memo", "bill"], 3)
            papers = {f"{name}{rng.randrange(10, 99)}.txt": rng.choice([*YEARS, "draft"]) for name in names}
            prompt = f"In-tray {split[:2].upper()}{n}/{rng.randrange(1000, 9999)} with {len(papers)} documents"
            yield Task(id=f"tray-{split}-{n}", prompt=prompt, data={"papers": papers}, split=split)

    def open(self, task, seed):
        super().open(task, seed)
        for folder in ("tray", *YEARS):
            (self.cabinet / folder).mkdir()
        for name, stamp in task.data["papers"].items():
            (self.cabinet / "tray" / name).write_text(f"{stamp}\n", encoding="utf-8")

    @tool
    def list_tray(self) -> list[str]:
        """Return the names of the documents in the in-tray."""
        return sorted(path.name for path in (self.cabinet / "tray").iterdir())

    @tool
    def stamp(self, document: str) -> str:
        """Return the stamp of a document in the in-tray: its year, or draft.

        Args:
            document: Name of the document.
        """
        return self._document(document).read_text(encoding="utf-8").strip()

    @tool
    def file_under(self, document: str, year: str) -> str:
        """Move a document from the in-tray into the folder of a year.

        Args:
            document: Name of the document.
            year: 2019, 2020 or 2021.
        """
        if year not in YEARS:
            raise ToolError(f"no folder {year}")
        path = self._document(document)
        path.rename(self.cabinet / year / path.name)
        return f"{path.name} is in {year}"

    def _document(self, name):
        if name not in self.list_tray():
            raise ToolError(f"no document {name} in the tray")
        return self.cabinet / "tray" / name

    def reward(self, episode):
        papers = episode.task.data["papers"]
        expected = {f"{'tray' if stamp == 'draft' else stamp}/{name}" for name, stamp in papers.items()}
        moved = any(stamp != "draft" for stamp in papers.values())
        return float(set(self.state_of("cabinet")) == expected and (moved or episode.answer.strip() == "filed"))

    def oracle(self, task):
        (listed,) = yield call("list_tray")
        for name in json.loads(listed.content):
            (stamp,) = yield call("stamp", document=name)
            if stamp.content != "draft":
                yield call("file_under", document=name, year=stamp.content)
        yield say("filed")
