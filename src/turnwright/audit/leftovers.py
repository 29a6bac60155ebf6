"""Leftovers: what episodes leave behind in the process and in the file system once they are closed.

warm-up: the same episodes once (caches, imports and pools may stay)
then:    paths written (audit hook) that are still there, and what is new among descriptors, threads, children,
         environment variables, working folder, files in a temporary folder of the audit's own
"""

import asyncio
import gc
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turnwright.audit.guard import written_path
from turnwright.audit.listing import shorten_list
from turnwright.audit.play import play, play_again
from turnwright.core.episode import Episode
from turnwright.core.finding import Finding
from turnwright.environments.base import Environment
from turnwright.environments.scripts import numbered, say

LEFT_EPISODES = 6
"""Episodes that are looked behind: as long as they were, and cut off at once."""
GRACE_SECONDS = 0.3
"""Time that threads and processes have to end after ``close``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every part of a process shares."""

    variables: Mapping[str, str]
    """Environment variables, but for the temporary folder, which the audit sets itself."""
    folder: str
    """The working directory."""


def look_around() -> Surroundings:
    """Return the surroundings as they are now."""
    variables = {name: value for name, value in os.environ.items() if name != "TMPDIR"}
    try:
        folder = str(Path.cwd())
    except FileNotFoundError:
        folder = "(removed)"
    return Surroundings(variables=variables, folder=folder)


def restore(surroundings: Surroundings) -> None:
    """Put back what an environment changed and left so, so that the next stage begins as the first one did."""
    now = look_around()
    for name in _changed(surroundings.variables, now.variables):
        os.environ.pop(name, None)
        if name in surroundings.variables:
            os.environ[name] = surroundings.variables[name]
    if now.folder != surroundings.folder:
        os.chdir(surroundings.folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Belongings:
    """What a process has, each by a name to show."""

    threads: frozenset[str]
    children: Mapping[str, str]
    """By number: what a process is called changes when it ends."""
    descriptors: frozenset[str]
    around: Surroundings


async def check_leftovers(
    prototype: Environment, episodes: Sequence[Episode], surroundings: Surroundings, *, seed: int
) -> tuple[Finding, ...]:
    """Play episodes twice, and report what the second time adds.

    Variables and working folder are compared with ``surroundings``, from before any episode: what is set to the same
    value each time is left behind as well.
    """
    some = episodes[:LEFT_EPISODES]
    with _temporary_folder() as folder:
        await _play_all(prototype, some, seed)
        before = _belongings()
        with _written_paths() as written:
            await _play_all(prototype, some, seed)
        gone = time.monotonic() + GRACE_SECONDS
        after = _belongings()
        while (
            after.threads - before.threads or after.children.keys() - before.children.keys()
        ) and time.monotonic() < gone:
            await asyncio.sleep(GRACE_SECONDS / 10)
            after = _belongings()
        paths = _outermost({path for path in written if path.exists()} | set(folder.iterdir()))
    return (
        *shorten_list([_leftover(f"file {path}", "is still there") for path in paths]),
        *_new("thread", after.threads - before.threads, "still runs"),
        *_new(
            "process", {name for number, name in after.children.items() if number not in before.children}, "still runs"
        ),
        *_new("descriptor", after.descriptors - before.descriptors, "is still open"),
        *_new("environment variable", _changed(surroundings.variables, after.around.variables), "has changed"),
        *_new("working directory", {after.around.folder} - {surroundings.folder}, "is another one"),
    )


async def _play_all(prototype: Environment, episodes: Sequence[Episode], seed: int) -> None:
    for episode in episodes:
        await play_again(prototype, episode, seed=seed)
        await play(prototype, episode.task, numbered([say("")]), seed=seed)
    gc.collect()


def _belongings() -> Belongings:
    return Belongings(
        threads=frozenset(f"{thread.name} ({thread.ident})" for thread in threading.enumerate()),
        children=dict(_children()),
        descriptors=frozenset(_descriptors()),
        around=look_around(),
    )


def _children() -> Iterator[tuple[str, str]]:
    """Yield number and name of the child processes, zombies included; none where the system does not tell."""
    for listing in Path("/proc/self/task").glob("*/children"):
        for number in listing.read_text().split():
            try:
                words = Path(f"/proc/{number}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            yield number, f"{number} {words.strip()[:80] or '(ended, nobody waited for it)'}"


def _descriptors() -> Iterator[str]:
    """Yield open descriptors with what they lead to; none where the system does not tell."""
    for entry in Path("/proc/self/fd").glob("*"):
        try:
            yield f"{entry.name} -> {entry.readlink()}"
        except OSError:  # the one of this very listing
            continue


def _outermost(paths: set[Path]) -> list[Path]:
    """Return the paths that lie in no folder among them, less what Python compiled."""
    return sorted(p for p in paths if not set(p.parents) & paths and "__pycache__" not in p.parts)


def _changed(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def _new(kind: str, names: frozenset[str] | set[str], state: str) -> tuple[Finding, ...]:
    return shorten_list([_leftover(f"{kind} {name}", state) for name in sorted(names)])


def _leftover(what: str, state: str) -> Finding:
    return Finding(
        code="isolation.leftover",
        severity="error",
        where=what,
        evidence=f"after every episode was closed it {state}",
        cure="let go of it in close(), which is also called after a crash; a StatefulEnvironment does so for its "
        "resources",
    )


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """Give the process a temporary folder of its own, so that what others leave in the common one does not count."""
    before, variable = tempfile.tempdir, os.environ.get("TMPDIR")
    with tempfile.TemporaryDirectory(prefix="turnwright-audit-") as folder:
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = before
            if variable is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = variable


_recordings: list[dict[Path, None]] = []
_hooked: list[bool] = []


@contextmanager
def _written_paths() -> Iterator[dict[Path, None]]:
    """Collect every path that Python code of this process creates or opens for writing."""
    if not _hooked:
        sys.addaudithook(_record)
        _hooked.append(True)
    paths: dict[Path, None] = {}
    _recordings.append(paths)
    try:
        yield paths
    finally:
        _recordings.remove(paths)


def _record(event: str, arguments: tuple[Any, ...]) -> None:
    path = written_path(event, arguments) if _recordings else None
    if path is not None:
        for paths in _recordings:
            paths[path] = None
