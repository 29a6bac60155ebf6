"""Resource: something outside Python's memory that an episode owns, such as a database or a folder.

    resource.opened(task, seed) --enter--> handle, for the tools --exit--> nothing is left

The initial state of a handle is a function of task and seed alone. Names of files and schemas are random: keep them out
of what a tool answers.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from hashlib import blake2b
from typing import Any, Generic, TypeVar

from turnwright.core.errors import TurnwrightError
from turnwright.core.task import Task

Handle = TypeVar("Handle")

Row = dict[str, Any]
"""A record: value by column."""

State = Mapping[str, tuple[Row, ...]]
"""Everything a resource holds: records by table, tables by name and records by value in ascending order."""


class ResourceClosedError(TurnwrightError):
    """A tool went on after its episode had ended, and used what the episode no longer has."""


class Resource(ABC, Generic[Handle]):
    """Makes one handle per episode; write ``opened``, most simply as a ``contextlib.contextmanager``.

    A resource belongs to the prototype: what all episodes share is built in its ``__init__`` and only read later.

    Example::

        class Mailbox(Resource[MailServer]):
            @contextmanager
            def opened(self, task: Task, seed: int) -> Iterator[MailServer]:
                server = MailServer.start(task.data["mail"])
                try:
                    yield server
                finally:
                    server.stop()
    """

    waits: bool = False
    """Whether opening or closing waits long enough to hold up other episodes, as for a server."""

    @abstractmethod
    def opened(self, task: Task, seed: int) -> AbstractContextManager[Handle]:
        """Return the context in which an episode has its handle.

        Its exit runs once however the episode ends, perhaps while a tool that took too long still uses the handle:
        it must stop that use, not wait for it.

        Args:
            task: What the episode is about.
            seed: The only source of randomness.
        """

    def state(self, handle: Handle) -> State:
        """Return everything the handle holds now, for a reward to compare."""
        raise NotImplementedError(f"{type(self).__name__} has no state: write 'def state(self, handle)' to have one")

    def sweep_leftovers(self) -> tuple[str, ...]:
        """Remove what killed processes left behind, and nothing that is in use; return the names."""
        return ()


def ordered(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Return rows by ascending values, column by column: None, then numbers, then text, then everything else."""
    return tuple(sorted(rows, key=lambda row: [_rank(value) for value in row.values()]))


def hash_state(state: State) -> str:
    """Return a digest of 32 characters that two states share exactly when they are equal, types included."""
    text = repr([(table, [list(row.items()) for row in rows]) for table, rows in sorted(state.items())])
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _rank(value: object) -> tuple[int, float | str, str]:
    if value is None:
        return 0, "", ""
    if isinstance(value, int | float):
        # 1 and 1.0 are equal, and yet one of them comes first.
        return 1, value, repr(value)
    return (2, value, "") if isinstance(value, str) else (3, repr(value), "")
