"""Prompts: tasks from files, for agents that bring their own tools and report their own reward.

    jsonl, one object per line: {"prompt": "...", "id"?: "...", "cluster"?: "...", any other columns}

The prompt reaches the agent verbatim; of the other columns only those that ``agent.public_columns`` lists.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from turnwright.core.episode import Episode
from turnwright.core.errors import DatasetError, EnvironmentLoadError
from turnwright.core.task import Split, Task
from turnwright.environments.base import Environment


class Prompts(Environment):
    """Tasks without a world: who attempts them also grades them."""

    def __init__(self, train: str = "", validation: str = "", test: str = "", *, turns: int = 20) -> None:
        """Name the files.

        Args:
            train: jsonl file of the training tasks; empty = none. The same for the other two.
            validation: Tasks on which training is watched.
            test: Tasks kept for evaluation.
            turns: Model calls after which an attempt is cut.
        """
        self._files: dict[Split, str] = {"train": train, "validation": validation, "test": test}
        self.max_turns = turns

    def tasks(self, split: Split) -> Iterable[Task]:
        """Return the tasks of a file, in its order."""
        name = self._files[split]
        return _read(Path(name), split) if name else ()

    def respond(self, reply: object) -> Any:
        """Refuse: there is no world here."""
        raise EnvironmentLoadError(_CURE)

    def reward(self, episode: Episode) -> float:
        """Refuse: the agent reports the reward."""
        raise EnvironmentLoadError(_CURE)


_CURE = (
    "environment 'prompts' has no tools and no reward of its own: set agent.kind to an agent that reports a reward "
    "(function, http, handler, queue or subprocess)"
)


def _read(path: Path, split: Split) -> list[Task]:
    if not path.is_file():
        raise DatasetError(f"there is no file {path.resolve()} with {split} tasks: mend environment.options.{split}")
    tasks: list[Task] = []
    # Bytes: text also splits at line separators that a prompt may contain.
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if line.strip():
            tasks.append(_task(line, f"{path}, line {number}", split, default_id=f"{path.stem}-{number}"))
    return tasks


def _task(line: bytes, where: str, split: Split, *, default_id: str) -> Task:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DatasetError(f"{where} is not JSON: {error}; each line is one object with a 'prompt'") from error
    if not isinstance(row, dict):
        raise DatasetError(f"{where} is {type(row).__name__}: expected an object with a 'prompt'")
    prompt = row.pop("prompt", None)
    if not isinstance(prompt, str) or not prompt:
        raise DatasetError(f"{where} has prompt = {prompt!r}: expected text that is not empty")
    identity, cluster = row.pop("id", default_id), row.pop("cluster", None)
    if not isinstance(identity, str) or not identity:
        raise DatasetError(f"{where} has id = {identity!r}: expected text that is not empty")
    return Task(id=identity, prompt=prompt, data=row, split=split, cluster=None if cluster is None else str(cluster))
