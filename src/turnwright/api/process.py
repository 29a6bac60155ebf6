"""Commands of this package in processes of their own: an evaluation must see nothing of its caller's memory."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO

from turnwright.core.errors import ConfigError, TurnwrightError

BAD_INPUT = 2


def command_line(arguments: Sequence[str]) -> list[str]:
    """Return the command that runs a verb with this Python."""
    return [sys.executable, "-m", "turnwright.cli", *arguments]


def child_environment() -> Mapping[str, str]:
    """Return an environment in which the child imports what this process can import."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def run_command(arguments: Sequence[str]) -> str:
    """Run a verb to its end and return what it printed; its progress appears on this terminal.

    Raises:
        ConfigError: The verb refused its input; the message is its own.
        TurnwrightError: It failed otherwise.
    """
    shows_progress = sys.stderr.isatty()
    done = subprocess.run(
        command_line(arguments),
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=None if shows_progress else subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise failure(arguments[0], done.returncode, done.stderr or "its message is above")
    return done.stdout


def failure(verb: str, code: int, output: str) -> TurnwrightError:
    """Return the error of a verb that ended with an exit code other than 0."""
    message = output.strip()
    if code == BAD_INPUT:
        return ConfigError(message.removeprefix("error: "))
    return TurnwrightError(f"'turnwright {verb}' ended with exit code {code}: {message or 'it printed nothing'}")


def start_command(arguments: Sequence[str], output: IO[bytes]) -> "subprocess.Popen[bytes]":
    """Start a verb that outlives this process, its output in a file."""
    return subprocess.Popen(
        command_line(arguments),
        env=child_environment(),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
