"""The peer TRL from our side: an environment of its own, made when it is missing, and a process in it that stays alive.

A command is one line of JSON on its standard input, the reply one line on its standard output; what it logs goes to a
file. While it waits for a command it does nothing, so that measurements of both sides can take turns.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".venv-peers"
REQUIREMENTS = Path(__file__).with_name("trl_requirements.txt")
TORCH = "torch==2.13.0"
"""Comes first, so that no other package's requirement picks its version; the Makefile has the same."""


class PeerError(Exception):
    """The peer's process ended or answered what is no reply."""


class TrlProcess:
    """One script of this folder, running in the peer's environment."""

    def __init__(self, script: str, arguments: Sequence[str], *, log: Path) -> None:
        """Start it; it answers when it is ready."""
        self.log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [str(_python()), str(Path(__file__).with_name(script)), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ
                | {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1"},
            )

    def __enter__(self) -> Self:
        """Return itself; leaving ends the process."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def ask(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Send a command and return the reply.

        Raises PeerError when the process has ended instead.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, and reading says so
        return self.read()

    def read(self) -> dict[str, Any]:
        """Return the next reply; raises PeerError when the process has ended instead."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            said = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise PeerError(f"the peer ended with exit code {self._process.wait()}: {' / '.join(said[-3:])}")
        return json.loads(line)


def peer_versions() -> dict[str, str]:
    """Return the versions of what the peer computes with."""
    names = ("trl", "transformers", "torch", "accelerate")
    code = f"import json, importlib.metadata as m; print(json.dumps({{n: m.version(n) for n in {names!r}}}))"
    return json.loads(subprocess.run([_python(), "-c", code], check=True, capture_output=True, text=True).stdout)


def _python() -> Path:
    """Return the interpreter of the peer's environment, made first where it is missing or older than its pins."""
    python, stamp = ENVIRONMENT / "bin" / "python", ENVIRONMENT / ".installed"
    if not stamp.exists() or stamp.stat().st_mtime < REQUIREMENTS.stat().st_mtime:
        print(f"installing the peer in {ENVIRONMENT}, which takes minutes", file=sys.stderr, flush=True)
        install = [python, "-m", "pip", "install", "--quiet"]
        subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
        # Nothing that looks through this repository has business in there.
        (ENVIRONMENT / ".gitignore").write_text("*\n", encoding="utf-8")
        subprocess.run([*install, *os.environ.get("TORCH_OPTIONS", "").split(), TORCH], check=True)
        subprocess.run([*install, "--requirement", REQUIREMENTS], check=True)
        stamp.touch()
    return python
