"""open_sandbox: the back end that really works here, or an error that says what each one lacks."""

import logging
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points

from turnwright.sandbox.base import Sandbox, SandboxError, SandboxLimits
from turnwright.sandbox.bubblewrap import BubblewrapSandbox
from turnwright.sandbox.landlock import LandlockSandbox
from turnwright.sandbox.unsafe_local import UnsafeLocalSandbox

log = logging.getLogger(__name__)

GROUP = "turnwright.sandboxes"
PROBE = SandboxLimits(wall_seconds=10.0)
ISOLATING: Mapping[str, Callable[[], Sandbox]] = {"bubblewrap": BubblewrapSandbox, "landlock": LandlockSandbox}
"""In the order in which "auto" tries them."""
UNSAFE = UnsafeLocalSandbox.name


def open_sandbox(name: str = "auto", *, unsafe_local: bool = False) -> Sandbox:
    """Return a sandbox that has just run a program.

    Args:
        name: "auto" = the first of bubblewrap and landlock that works; one of them; "unsafe_local" = limits without
            isolation; or a name from the entry point group "turnwright.sandboxes", whose object is called without
            arguments and returns a Sandbox.
        unsafe_local: Allow "unsafe_local", and let "auto" come to it where nothing isolates.

    Raises:
        SandboxError: nothing of that name, or it does not work; the message says what is missing.
    """
    if name != "auto":
        if name == UNSAFE and not unsafe_local:
            raise SandboxError(f"the sandbox {UNSAFE!r} does not isolate programs: it needs unsafe_local = true")
        return _working(name, _maker(name))
    missing: list[str] = []
    for candidate, make in ISOLATING.items():
        try:
            return _working(candidate, make)
        except SandboxError as error:
            missing.append(f"{candidate}: {error}")
    if unsafe_local:
        return _working(UNSAFE, UnsafeLocalSandbox)
    raise SandboxError(
        f"no sandbox works on this machine. {'; '.join(missing)}. Install bubblewrap, or set unsafe_local = true to "
        "run programs with limits and without isolation"
    )


def what_is_missing() -> dict[str, str]:
    """Return, for each sandbox that isolates, why it does not work here; empty where it does."""
    missing: dict[str, str] = {}
    for name, make in ISOLATING.items():
        try:
            _working(name, make)
        except SandboxError as error:
            missing[name] = str(error)
        else:
            missing[name] = ""
    return missing


def _working(name: str, make: Callable[[], Sandbox]) -> Sandbox:
    sandbox = make()
    probe(sandbox)
    if name == UNSAFE:
        log.warning("programs run without isolation (unsafe_local = true): they can do whatever this user can")
    return sandbox


def probe(sandbox: Sandbox) -> None:
    """Run one small program, and raise SandboxError unless it does what it should."""
    with sandbox.workspace(PROBE) as workspace:
        workspace.write("probe.py", b"print(input(), open('probe.py').read() > '')")
        result = workspace.run(["python3", "-I", "-S", "probe.py"], stdin=b"works\n")
    if result.stdout != "works True\n":
        said = result.stderr.strip() or f"it ended by {result.ending} with exit code {result.exit_code}"
        raise SandboxError(f"a program that should print a line did not: {said}")


def _maker(name: str) -> Callable[[], Sandbox]:
    own: dict[str, Callable[[], Sandbox]] = {**ISOLATING, UNSAFE: UnsafeLocalSandbox}
    installed = {point.name: point for point in entry_points(group=GROUP)}
    if name in own:
        return own[name]
    if name in installed:
        return installed[name].load()
    known = ", ".join(("auto", *own, *sorted(installed)))
    raise SandboxError(
        f"there is no sandbox {name!r}: expected {known}, or a package that registers it under {GROUP!r}"
    )
