"""Landlock: the fallback that needs no binary and no namespaces.

The program sees the file tree of the host, and the kernel gives it rights to a short list of that; a seccomp filter
takes away sockets and what else leads out.
"""

import ctypes
import platform
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from turnwright.sandbox.base import SandboxError, SandboxLimits, Workspace
from turnwright.sandbox.contained import Place, can_be_seen, contained_workspace, interpreter_folders, open_to_all
from turnwright.sandbox.folder import sweep_folders
from turnwright.sandbox.seccomp import Filter, filter_program
from turnwright.sandbox.supervised import Settings
from turnwright.sandbox.user import tasks_of_this_user

CREATE_RULESET, VERSION = 444, 1
EXECUTE, WRITE_FILE, READ_FILE, READ_FOLDER = 1, 1 << 1, 1 << 2, 1 << 3
MAKE_DEVICES_AND_SOCKETS = 1 << 6 | 1 << 9 | 1 << 11
LAST_RIGHT = {3: 14, 4: 14, 5: 15}
"""The highest right to files that an ABI knows; later ones know no more."""
BIND_AND_CONNECT_TCP = 0b11
ABSTRACT_SOCKETS_AND_SIGNALS = 0b11
LEAST_ABI, NETWORK_ABI, SCOPE_ABI = 3, 4, 6
"""ABI 3 (Linux 6.2) governs truncation: without it a program could empty every file of its user."""

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/alternatives")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/localtime")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


class LandlockSandbox:
    """Implements Sandbox with system calls alone."""

    name = "landlock"
    own_user = True

    def __init__(self) -> None:
        """Ask the kernel what it can do, and sweep what killed processes left.

        Raises:
            SandboxError: this kernel or machine cannot contain a program.
        """
        self._abi = landlock_abi()
        if self._abi < LEAST_ABI:
            found = f"has Landlock ABI {self._abi}" if self._abi > 0 else "has no Landlock, or it is switched off"
            raise SandboxError(
                f"this kernel ({platform.release()}) {found}: expected ABI {LEAST_ABI} or later (Linux 6.2), "
                "listed in the kernel's lsm= option"
            )
        filter_program(Filter(machine=platform.machine()))
        sweep_folders()

    def workspace(self, limits: SandboxLimits, *, readable: Sequence[Path] = ()) -> AbstractContextManager[Workspace]:
        """Return the context of a workspace."""
        return contained_workspace(self, limits, readable)

    def inside(self, place: Place) -> tuple[str, str]:
        """Return the paths of workspace and temporary folder: the host's."""
        return str(place.files), str(place.temporary)

    def complete(self, place: Place, settings: Settings) -> Settings:
        """Return what the supervisor is told."""
        shares_user = place.user is None
        return replace(
            settings,
            other_processes=tasks_of_this_user() if shares_user else 0,
            keep_reading=not shares_user and not _open_on_the_way(place),
            scoped=self._abi >= SCOPE_ABI,
            landlock={"handled": self._handled, "paths": self._rules(place)},
            seccomp=self._filters[shares_user],
        )

    def command(self, place: Place, supervisor: Sequence[str], handed: list[int]) -> list[str]:
        """Return the command that starts the supervisor: as it is."""
        return list(supervisor)

    @cached_property
    def _filters(self) -> dict[bool, bytes]:
        """The filter by whether the program runs as the user who runs Turnwright."""
        unscoped = self._abi < SCOPE_ABI
        own = Filter(machine=platform.machine(), keep_attributes=True, keep_group=unscoped)
        shared = replace(own, keep_modes=True, keep_processes=unscoped)
        return {True: filter_program(shared), False: filter_program(own)}

    @property
    def _all_rights(self) -> int:
        return (1 << (LAST_RIGHT.get(self._abi, max(LAST_RIGHT.values())) + 1)) - 1

    @property
    def _handled(self) -> list[int]:
        """``struct landlock_ruleset_attr``: what is refused unless a rule allows it."""
        fields = [self._all_rights]
        if self._abi >= NETWORK_ABI:
            fields.append(BIND_AND_CONNECT_TCP)
        if self._abi >= SCOPE_ABI:
            fields.append(ABSTRACT_SOCKETS_AND_SIGNALS)
        return fields

    def _rules(self, place: Place) -> list[tuple[str, int]]:
        """Return paths and the rights to what is below them."""
        read = [Path(path) for path in (*SYSTEM, *SYSTEM_FILES)]
        read += [*interpreter_folders(), *place.readable]
        rules = [(str(path), _reading(path)) for path in read if can_be_seen(path)]
        rules += [(path, READ_FILE | WRITE_FILE) for path in DEVICES if Path(path).exists()]
        everything = self._all_rights & ~MAKE_DEVICES_AND_SOCKETS
        return [*rules, *((str(path), everything) for path in (place.files, place.temporary))]


def landlock_abi() -> int:
    """Return the version of Landlock that this kernel speaks; 0 or less = none."""
    return ctypes.CDLL(None, use_errno=True).syscall(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION)


def _open_on_the_way(place: Place) -> bool:
    """Return whether file modes let every user reach what the program may read, and its own folder."""
    shown = (*interpreter_folders(), *place.readable)
    above = {folder for path in (*shown, place.files) for folder in path.parents}
    return all(map(open_to_all, shown)) and all(folder.stat().st_mode & 0o1 for folder in above)


def _reading(path: Path) -> int:
    return EXECUTE | READ_FILE | READ_FOLDER if path.is_dir() else EXECUTE | READ_FILE
