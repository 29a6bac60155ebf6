"""Real clients in an environment of their own, against a gateway in this process.

``make test-clients`` makes that environment; without it every test here is skipped and says so.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("clients.exactness")

from clients.exactness import require_exact  # noqa: E402 - after the line that makes its asserts speak
from clients.serving import PLAIN, Chosen, Recorded, Serving, serving  # noqa: E402

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
NOT_INHERITED = ("AWS_", "RFT_", "OPENAI_", "ANTHROPIC_", "LANGCHAIN_", "LANGSMITH_", "PYTHON")
"""Beginnings of variables that would change what a client does."""


@pytest.fixture(scope="session")
def clients_python() -> Path:
    """Return the interpreter of the clients' environment; one that was named must be there."""
    named = os.environ.get("TURNWRIGHT_CLIENTS_PYTHON")
    python = Path(named) if named else ROOT / ".venv-clients" / "bin" / "python"
    if not python.is_file():
        (pytest.fail if named else pytest.skip)(f"there is no {python}: run 'make test-clients'")
    return python.absolute()


@pytest.fixture(scope="session")
def served(clients_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("records")) as served:
        yield served


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a client's process ended."""

    out: str
    err: str

    @property
    def printed(self) -> Any:
        """The JSON on the last line of its output."""
        return json.loads(self.out.splitlines()[-1])


RunClient = Callable[..., Ran]


@pytest.fixture(scope="session")
def run_client(clients_python: Path) -> RunClient:
    """Return a function that runs a program in the clients' environment to its end, which must be a good one."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}

    def run(program: Path, *, stdin: Mapping[str, Any], environment: Mapping[str, str] = {}) -> Ran:
        done = subprocess.run(
            [clients_python, program],
            input=json.dumps(stdin),
            # Our own client library is used as it lies in this repository; everything else is installed.
            env={**inherited, "PYTHONPATH": str(ROOT / "src"), **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{program.name} exited with {done.returncode}:\n{done.stderr[-6000:]}"
        return Ran(out=done.stdout, err=done.stderr)

    return run


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A program's episode from both sides."""

    seen: Sequence[Mapping[str, Any]]
    recorded: Recorded
    err: str


Play = Callable[..., Played]


@pytest.fixture
def play(served: Serving, run_client: RunClient) -> Play:
    """Return a function that lets a program of ``programs/`` make an attempt and checks that its record is exact."""

    def play(
        program: str,
        chosen: Chosen = PLAIN,
        *,
        gateway: str = "scoped",
        environment: Callable[[dict[str, Any]], Mapping[str, str]] = lambda request: {},
        without: Sequence[str] = (),
    ) -> Played:
        session = served.open(chosen, gateway)
        request = served.request_for(session, gateway)
        told = {**request, "metadata": {k: v for k, v in request["metadata"].items() if k not in without}}
        try:
            ran = run_client(
                PROGRAMS / f"{program}.py",
                stdin={"request": told, "world": served.world(chosen)},
                environment=environment(request),
            )
            recorded = served.take(session, gateway)
        finally:
            # An attempt that went wrong must not keep its key.
            served.run(session.abort("interrupted", "the test is over"))
        require_exact(served.player, recorded, ran.printed)
        return Played(seen=ran.printed, recorded=recorded, err=ran.err)

    return play
