"""UnsafeLocalSandbox: limits without isolation, for a machine that offers none and a user who has said so."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from turnwright.sandbox.base import SandboxLimits, Workspace
from turnwright.sandbox.contained import Place, contained_workspace
from turnwright.sandbox.folder import sweep_folders
from turnwright.sandbox.supervised import Settings
from turnwright.sandbox.user import tasks_of_this_user


class UnsafeLocalSandbox:
    """Implements Sandbox for programs that somebody vouches for: they can do what the user can."""

    name = "unsafe_local"
    own_user = False

    def __init__(self) -> None:
        """Sweep what killed processes left."""
        sweep_folders()

    def workspace(self, limits: SandboxLimits, *, readable: Sequence[Path] = ()) -> AbstractContextManager[Workspace]:
        """Return the context of a workspace; everything is readable."""
        return contained_workspace(self, limits, readable)

    def inside(self, place: Place) -> tuple[str, str]:
        """Return the paths of workspace and temporary folder: the host's."""
        return str(place.files), str(place.temporary)

    def complete(self, place: Place, settings: Settings) -> Settings:
        """Return what the supervisor is told."""
        return replace(settings, other_processes=tasks_of_this_user())

    def command(self, place: Place, supervisor: Sequence[str], handed: list[int]) -> list[str]:
        """Return the command that starts the supervisor: as it is."""
        return list(supervisor)
