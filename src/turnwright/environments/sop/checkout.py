"""SopCheckout: all domains of a SOP-Bench checkout as one environment, to see a policy or an audit on all of them.

Every task brings its domain's own instructions and tools; its id begins with the domain, which is also its cluster.
A domain that cannot be loaded is a finding, and the others go on. To weigh domains against each other in training, name
domain folders as members of a mixture instead.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from turnwright.core.episode import Episode
from turnwright.core.errors import DatasetError, EnvironmentLoadError
from turnwright.core.finding import Finding
from turnwright.core.message import Message
from turnwright.core.task import Split, Task
from turnwright.environments.base import Environment, TurnRewards
from turnwright.environments.sop.environment import Mode, SopEnvironment, ToolSource
from turnwright.environments.tools import Tool

MARKS = ("metadata.json", "toolspecs.json")
"""Files that make a folder a domain."""
DEEPEST = 6
"""Folders between a checkout's root and its domains, at most."""


class SopCheckout(Environment):
    """The test tasks of every domain below a folder."""

    def __init__(
        self,
        folder: str | Path,
        *,
        mode: Mode = "repaired",
        tools: ToolSource | None = None,
        sandbox: str = "auto",
        unsafe_local: bool = False,
    ) -> None:
        """Load the domains; the options are those of ``SopEnvironment``.

        Raises EnvironmentLoadError when there is none that can be loaded.
        """
        self.domains: dict[str, SopEnvironment] = {}
        broken: list[Finding] = []
        for path in find_domains(Path(folder)):
            try:
                domain = SopEnvironment(path, mode=mode, tools=tools, sandbox=sandbox, unsafe_local=unsafe_local)
            except (EnvironmentLoadError, DatasetError) as error:
                broken.append(_unreadable(path, error))
                continue
            name = domain.folder.name if domain.folder.name not in self.domains else path.name
            self.domains[name] = domain
        if not self.domains:
            reasons = "; ".join(finding.evidence for finding in broken)
            raise EnvironmentLoadError(
                f"no SOP domain in {Path(folder).resolve()}: expected {' and '.join(MARKS)} in it or in a folder below"
                + (f" ({reasons})" if reasons else "")
            )
        self._broken = tuple(broken)
        self.waits = any(domain.waits for domain in self.domains.values())
        self.typical_turns = max(domain.typical_turns for domain in self.domains.values())
        self.max_turns = max(domain.turn_limit for domain in self.domains.values())
        self._current: SopEnvironment | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is doubtful about each domain, and the domains that could not be loaded."""
        found = [
            replace(finding, where=f"{name}: {finding.where}")
            for name, domain in self.domains.items()
            for finding in domain.findings
        ]
        return (*self._broken, *found)

    @property
    def unreachable_tasks(self) -> frozenset[str]:
        """Ids of test tasks whose label the known rules of their domain do not give."""
        return frozenset(f"{name}/{id_}" for name, domain in self.domains.items() for id_ in domain.unreachable_tasks)

    def tasks(self, split: Split) -> list[Task]:
        """Return the tasks of all domains.

        Raises DatasetError for any split but "test".
        """
        return [
            replace(task, id=f"{name}/{task.id}", data={**task.data, "domain": name}, cluster=name)
            for name, domain in self.domains.items()
            for task in domain.tasks(split)
        ]

    def open(self, task: Task, seed: int) -> None:
        """Begin an episode in the task's domain."""
        super().open(task, seed)
        self._current = self.domains[task.data["domain"]].for_episode()
        self._current.open(task, seed)
        self.instructions = self._current.instructions

    def close(self) -> None:
        """End it."""
        if self._current is not None:
            self._current.close()

    def opening(self) -> tuple[Message, ...]:
        """Return the domain's messages."""
        return super().opening() if self._current is None else self._current.opening()

    def tools(self) -> Mapping[str, Tool]:
        """Return the tools of the open task; before, those of all domains, of one name the first."""
        if self._current is not None:
            return {name: replace(tool, function=_through(tool)) for name, tool in self._current.tools().items()}
        return {name: tool for domain in reversed(self.domains.values()) for name, tool in domain.tools().items()}

    def reward(self, episode: Episode) -> float | dict[str, float] | TurnRewards:
        """Grade by the task's domain."""
        return self.domains[episode.task.data["domain"]].reward(episode)

    def oracle(self, task: Task) -> Iterable[Message]:
        """Return the rules of the task's domain, where they are known."""
        return self.domains[task.data["domain"]].oracle(task)

    @property
    def current(self) -> SopEnvironment:
        """The domain of the open episode."""
        if self._current is None:
            raise RuntimeError("no episode is open")
        return self._current


def find_domains(folder: Path) -> tuple[Path, ...]:
    """Return the domain folders in or below a folder, by path."""
    if _is_domain(folder):
        return (folder,)
    found: list[Path] = []
    level = [folder]
    for _ in range(DEEPEST):
        level = [child for parent in level for child in _folders(parent)]
        found += [child for child in level if _is_domain(child)]
        level = [child for child in level if not _is_domain(child)]
    return tuple(sorted(found))


def load_domains(name: str) -> tuple[SopEnvironment, ...]:
    """Return the domains that ``sop:FOLDER`` names: one, or those of a checkout.

    Raises EnvironmentLoadError when there is none that can be loaded.
    """
    prefix, colon, folder = name.partition(":")
    if (prefix, colon) != ("sop", ":"):
        raise EnvironmentLoadError(f"{name!r} is no SOP-Bench folder: write 'sop:FOLDER'")
    if _is_domain(Path(folder)) or not Path(folder).is_dir():
        return (SopEnvironment(Path(folder)),)
    return tuple(SopCheckout(folder).domains.values())


def _is_domain(folder: Path) -> bool:
    return any((folder / name).is_file() for name in MARKS)


def _folders(folder: Path) -> list[Path]:
    try:
        children = sorted(folder.iterdir())
    except OSError:
        return []
    return [child for child in children if child.is_dir() and not child.is_symlink() and child.name[0] not in "._"]


def _through(tool: Tool) -> Callable[..., Any]:
    """Return a function that calls a domain's tool with the domain's environment in place of the checkout's."""
    return partial(_answer, tool)


def _answer(tool: Tool, environment: SopCheckout, /, **arguments: Any) -> Any:
    return tool.function(environment.current, **arguments)


def _unreadable(path: Path, error: Exception) -> Finding:
    return Finding(
        code="format.unreadable",
        severity="error",
        where=str(path),
        evidence=f"the domain cannot be loaded: {error}",
        cure="correct its files; the other domains are not touched by it",
    )
