"""Prompts: tasks from files, for agents that bring their own tools and report their own reward.

    jsonl, one object per line: {"prompt": "...", "id"?: "...", "cluster"?: "...", any other columns}
    or parquet, csv with a header, json with an array; or a registered file, data:NAME@VERSION

The prompt reaches the agent verbatim; of the other columns only those that ``agent.public_columns`` lists.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from turnwright.core.episode import Episode
from turnwright.core.errors import DatasetError, EnvironmentLoadError
from turnwright.core.task import Split, Task
from turnwright.datasets import LOCK_NAME, load_tasks, locate, read_lock, require_trainable
from turnwright.environments.base import Environment


class Prompts(Environment):
    """Tasks without a world: who attempts them also grades them."""

    def __init__(
        self, train: str = "", validation: str = "", test: str = "", *, lock: str = "", turns: int = 20
    ) -> None:
        """Name the files.

        Args:
            train: File of the training tasks, or data:NAME@VERSION; empty = none. The same for the other two.
            validation: Tasks on which training is watched.
            test: Tasks kept for evaluation.
            lock: Lock file of the split; its test rows are refused as training tasks. Empty = the one beside the
                training file, if there is one.
            turns: Model calls after which an attempt is cut.
        """
        self._files: dict[Split, str] = {"train": train, "validation": validation, "test": test}
        self._lock = lock
        self.max_turns = turns

    def tasks(self, split: Split) -> Iterable[Task]:
        """Return the tasks of a file, in its order."""
        name = self._files[split]
        if not name:
            return ()
        path = locate(name)
        if not path.is_file():
            raise DatasetError(
                f"there is no file {path.resolve()} with {split} tasks: mend environment.options.{split}"
            )
        tasks = load_tasks(path, split)
        if split == "train":
            self._require_trainable(tasks, path)
        return tasks

    def respond(self, reply: object) -> Any:
        """Refuse: there is no world here."""
        raise EnvironmentLoadError(_CURE)

    def reward(self, episode: Episode) -> float:
        """Refuse: the agent reports the reward."""
        raise EnvironmentLoadError(_CURE)

    def _require_trainable(self, tasks: Sequence[Task], path: Path) -> None:
        lock = Path(self._lock) if self._lock else path.with_name(LOCK_NAME)
        if self._lock or lock.exists():
            require_trainable(tasks, read_lock(lock))


_CURE = (
    "environment 'prompts' has no tools and no reward of its own: set agent.kind to an agent that reports a reward "
    "(function, http, handler, queue or subprocess)"
)
