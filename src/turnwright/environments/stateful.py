"""StatefulEnvironment: tools that read and change resources which each episode has for itself.

    open(task, seed):  resources in order --opened--> handles: self.resource("db"), also self.db
    reward(episode):   self.state_of("db"), self.state_hash("db")
    close():           resources in reverse order, each whatever the others raise

What opened before another resource failed to open is closed again. Resources never wait for a tool that takes too long.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Self

from turnwright.core.errors import EnvironmentLoadError
from turnwright.core.seeding import derive_key
from turnwright.core.task import Task
from turnwright.environments.base import Environment
from turnwright.environments.resources.base import Resource, State, hash_state


class StatefulEnvironment(Environment):
    """An environment with resources per episode.

    Name them in the class, or in ``__init__`` where they depend on an option. An ``open`` or ``close`` of your own
    calls that of ``super()``.

    Example::

        class Desk(StatefulEnvironment):
            resources = {"db": SqliteFile(SCHEMA, fill=fill), "files": TemporaryFolder()}
            db: SqliteDatabase    # for type checkers

            @tool
            def close_ticket(self, ticket: int) -> str:
                '''Close a ticket.'''
                if not self.db.change("UPDATE tickets SET status = 'closed' WHERE id = ?", [ticket]):
                    raise ToolError(f"no ticket {ticket}")
                return "closed"

            def reward(self, episode: Episode) -> float:
                return float(self.state_of("db")["tickets"] == episode.task.data["expected"])
    """

    resources: Mapping[str, Resource[Any]] = {}
    """What each episode gets, by the name its tools use."""

    _handles: Mapping[str, Any] = {}
    _held: ExitStack | None = None

    def for_episode(self) -> Self:
        """Return the environment of one episode, which waits where one of its resources does."""
        episode = super().for_episode()
        episode.waits = self.waits or any(resource.waits for resource in self.resources.values())
        return episode

    def open(self, task: Task, seed: int) -> None:
        """Open every resource, in order.

        Raises EnvironmentLoadError when a resource's name means something else on the environment.
        """
        self.close()
        super().open(task, seed)
        for name in self.resources:
            if not name.isidentifier() or hasattr(self, name):
                raise EnvironmentLoadError(
                    f"{type(self).__name__} cannot have a resource {name!r}: expected an identifier that is no "
                    "attribute yet; rename it"
                )
        with ExitStack() as opening:
            handles = {
                name: opening.enter_context(resource.opened(task, derive_key(seed, "resource", name)))
                for name, resource in self.resources.items()
            }
            self._held = opening.pop_all()
        self._handles = handles
        vars(self).update(handles)

    def close(self) -> None:
        """Close every resource, the last opened first; the second time it does nothing.

        What a resource raises does not keep the others from closing; the last such exception is raised in the end.
        """
        for name in self._handles:
            del vars(self)[name]
        held, self._held, self._handles = self._held, None, {}
        if held is not None:
            held.close()

    def resource(self, name: str) -> Any:
        """Return the handle of one resource.

        Raises KeyError when there is no such resource, or the episode is not open.
        """
        if name not in self._handles:
            there = ", ".join(self._handles) or "none, the episode is not open"
            raise KeyError(f"{type(self).__name__} has no open resource {name!r}; it has: {there}")
        return self._handles[name]

    def state_of(self, name: str) -> State:
        """Return everything a resource holds now: of a database, the rows of each table, by ascending values."""
        return self.resources[name].state(self.resource(name))

    def state_hash(self, name: str) -> str:
        """Return a digest of ``state_of``, to compare states without keeping them."""
        return hash_state(self.state_of(name))

    def sweep_leftovers(self) -> tuple[str, ...]:
        """Remove what killed processes left of resources of these kinds; return the names of what was removed."""
        return tuple(sorted({name for resource in self.resources.values() for name in resource.sweep_leftovers()}))
