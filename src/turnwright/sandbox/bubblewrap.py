"""Bubblewrap: programs in namespaces of their own, behind a root folder that holds nothing but what they need."""

import os
import platform
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from turnwright.sandbox.base import SandboxError, SandboxLimits, Workspace
from turnwright.sandbox.contained import Place, contained_workspace, interpreter_folders, open_to_all
from turnwright.sandbox.folder import sweep_folders
from turnwright.sandbox.seccomp import Filter, filter_program
from turnwright.sandbox.supervised import Settings, sealed
from turnwright.sandbox.user import tasks_of_this_user

SYSTEM_FOLDERS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SYSTEM_FILES = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/localtime")
SUPERVISOR_RIGHTS = ("SETUID", "SETGID", "KILL", "DAC_READ_SEARCH", "SYS_PTRACE")
"""What the supervisor keeps of root's capabilities: to become the program's user, and to see and end what it does."""
WORKSPACE, TEMPORARY = "/workspace", "/tmp"


class BubblewrapSandbox:
    """Implements Sandbox with the program ``bwrap``."""

    name = "bubblewrap"
    own_user = True

    def __init__(self) -> None:
        """Find bwrap, and sweep what killed processes left.

        Raises:
            SandboxError: there is no bwrap.
        """
        found = shutil.which("bwrap")
        if found is None:
            raise SandboxError("there is no program 'bwrap': install bubblewrap (apt install bubblewrap)")
        self._program = found
        sweep_folders()

    def workspace(self, limits: SandboxLimits, *, readable: Sequence[Path] = ()) -> AbstractContextManager[Workspace]:
        """Return the context of a workspace."""
        return contained_workspace(self, limits, readable)

    def inside(self, place: Place) -> tuple[str, str]:
        """Return the paths of workspace and temporary folder as the program sees them."""
        return WORKSPACE, TEMPORARY

    def complete(self, place: Place, settings: Settings) -> Settings:
        """Return what the supervisor is told."""
        others = 0
        if place.user is None:
            # Before Linux 5.14 the kernel counts all processes of the user, since then those of the namespace.
            others = 1 if _kernel() >= (5, 14) else tasks_of_this_user()
        shown = (*interpreter_folders(), *place.readable)
        return replace(
            settings,
            namespaced=True,
            # Where they lie below the folders that are watched, they are none of the program's files.
            readable=(*settings.readable, *map(str, interpreter_folders())),
            other_processes=others,
            keep_reading=place.user is not None and not all(map(open_to_all, shown)),
        )

    def command(self, place: Place, supervisor: Sequence[str], handed: list[int]) -> list[str]:
        """Return the command that starts the supervisor as the first process of a namespace."""
        handed.append(sealed(self._filter))
        as_root = os.geteuid() == 0
        return [
            self._program,
            *("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"),
            *(() if as_root else ("--unshare-user",)),
            *("--hostname", "sandbox", "--as-pid-1", "--new-session", "--clearenv", "--cap-drop", "ALL"),
            *(word for right in SUPERVISOR_RIGHTS if as_root for word in ("--cap-add", f"CAP_{right}")),
            *_root(place),
            *("--seccomp", str(handed[-1]), "--chdir", WORKSPACE, "--", *supervisor),
        ]

    @cached_property
    def _filter(self) -> bytes:
        return filter_program(Filter(machine=platform.machine()))


def _root(place: Place) -> Iterator[str]:
    """Yield the options that build the program's root folder."""
    yield from ("--ro-bind", "/usr", "/usr")
    for folder in map(Path, SYSTEM_FOLDERS):
        if folder.is_symlink():
            yield from ("--symlink", str(folder.readlink()), str(folder))
        elif folder.exists():
            yield from ("--ro-bind", str(folder), str(folder))
    for path in SYSTEM_FILES:
        yield from ("--ro-bind-try", path, path)
    yield from ("--proc", "/proc", "--dev", "/dev")
    # Limited, and counted as memory.
    yield from ("--perms", "1777", "--size", str(place.limits.memory_bytes), "--tmpfs", "/dev/shm")
    yield from ("--remount-ro", "/dev")
    yield from ("--bind", str(place.temporary), TEMPORARY, "--bind", str(place.files), WORKSPACE)
    made: set[Path] = set()
    for path in (*interpreter_folders(), *place.readable):
        for above in reversed(path.parents[:-1]):
            if above not in made and not _there(above):
                # Bubblewrap would make them for root alone.
                yield from ("--perms", "0755", "--dir", str(above))
                made.add(above)
        yield from ("--ro-bind", str(path), str(path))
    yield from ("--remount-ro", "/")


def _there(path: Path) -> bool:
    return path.is_relative_to("/usr") or str(path) in ("/dev", "/proc", TEMPORARY, *SYSTEM_FOLDERS)


def _kernel() -> tuple[int, int]:
    major, minor, *_ = re.findall(r"\d+", platform.release())
    return int(major), int(minor)
