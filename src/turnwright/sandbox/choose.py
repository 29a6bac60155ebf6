"""open_sandbox: the back end that really works here, or an error that says what each one lacks."""

import logging
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points

from turnwright.sandbox.base import Sandbox, SandboxError, SandboxLimits
from turnwright.sandbox.bubblewrap import BubblewrapSandbox

log = logging.getLogger(__name__)

GROUP = "turnwright.sandboxes"
PROBE = SandboxLimits(wall_seconds=10.0)
ISOLATING: Mapping[str, Callable[[], Sandbox]] = {"bubblewrap": BubblewrapSandbox}
"""In the order in which "auto" tries them."""


def open_sandbox(name: str = "auto", *, unsafe_local: bool = False) -> Sandbox:
    """Return a sandbox that has just run a program.

    Args:
        name: "auto" = the first of bubblewrap and landlock that works; one of them; or one installed under the entry
            point group "turnwright.sandboxes", an object that is called without arguments and returns a Sandbox.
        unsafe_local: Where "auto" finds no isolation, run programs with limits and without isolation.

    Raises:
        SandboxError: nothing of that name, or it does not work; the message says what is missing.
    """
    if name != "auto":
        sandbox = _named(name)()
        probe(sandbox)
        return sandbox
    missing: list[str] = []
    for candidate, make in ISOLATING.items():
        try:
            sandbox = make()
            probe(sandbox)
        except SandboxError as error:
            missing.append(f"{candidate}: {error}")
        else:
            return sandbox
    raise SandboxError("no sandbox works here. " + "; ".join(missing))


def probe(sandbox: Sandbox) -> None:
    """Run one small program, and raise SandboxError unless it does what it should."""
    with sandbox.workspace(PROBE) as workspace:
        workspace.write("probe.py", b"print(input(), open('probe.py').read() > '')")
        result = workspace.run(["python3", "-I", "-S", "probe.py"], stdin=b"works\n")
    if result.stdout != "works True\n":
        said = result.stderr.strip() or f"it ended by {result.ending} with exit code {result.exit_code}"
        raise SandboxError(f"a program that should print a line did not: {said}")


def _named(name: str) -> Callable[[], Sandbox]:
    installed = {point.name: point for point in entry_points(group=GROUP)}
    if name in ISOLATING:
        return ISOLATING[name]
    if name in installed:
        return installed[name].load()
    known = ", ".join(("auto", *ISOLATING, *sorted(installed)))
    raise SandboxError(
        f"there is no sandbox {name!r}: expected one of {known}, or install one that registers in {GROUP}"
    )
