"""The process behind a ProcessEngine: how it starts, how it ends, and what is said when it ended by itself."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from turnwright.core.errors import EngineStoppedError
from turnwright.inference.wire import Failure, Ready, WorkerSettings, receive_now, send_now

EXIT_SECONDS = 20.0
"""How long a worker may take to end the pass that runs; then it is killed."""
STDERR = 2


class WorkerProcess:
    """A worker that is ready."""

    def __init__(self, settings: WorkerSettings, *, environment: Mapping[str, str] | None = None) -> None:
        """Start a process and wait until its engine works, which takes as long as loading the model does.

        It has a session of its own, so that signals of a terminal do not reach it, and writes what it has to say to
        this process's standard error.

        Args:
            settings: What the worker is told.
            environment: Variables of the process besides those of this one.

        Raises:
            TurnwrightError: What the worker found wrong with its settings or model.
            EngineStoppedError: The process ended before its engine worked.
        """
        self._folder = settings.folder
        self.end_here, end_there = socket.socketpair()
        # A program of its own instead of a fork: this one has threads, and may hold a GPU.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "turnwright.inference.worker", str(end_there.fileno())],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **(environment or {})},
            pass_fds=(end_there.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=STDERR,
            start_new_session=True,
        )
        end_there.close()
        # Also for whoever builds an engine and then fails before closing it.
        self._left_behind = weakref.finalize(self, _abandon, self._process, self.end_here, settings.folder)
        try:
            send_now(self.end_here, settings)
            answer = receive_now(self.end_here)
            if isinstance(answer, Failure):
                raise answer.error()
        except (EOFError, ConnectionError):
            raise EngineStoppedError(
                f"{self.abandon()} before it was ready: what it said is on standard error"
            ) from None
        except BaseException:
            self.abandon()
            raise
        self.ready: Ready = answer

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def end(self) -> str:
        """Let the worker end and wait for it; return how it ended, as the beginning of a sentence."""
        self._left_behind.detach()
        _end(self._process, self.end_here, self._folder)
        code = self._process.returncode
        name = f" ({signal.Signals(-code).name})" if code < 0 and -code in set(signal.Signals) else ""
        return f"the engine's process {self.pid} ended with exit code {code}{name}"

    def abandon(self) -> str:
        """Do the same for a worker that nobody asks anything."""
        ended = self.end()
        self.end_here.close()
        return ended


def _abandon(process: "subprocess.Popen[bytes]", end_here: socket.socket, folder: Path) -> None:
    _end(process, end_here, folder)
    end_here.close()


def _end(process: "subprocess.Popen[bytes]", end_here: socket.socket, folder: Path) -> None:
    # What the worker reads ends here, whoever holds the socket.
    with suppress(OSError):
        end_here.shutdown(socket.SHUT_RDWR)
    try:
        process.wait(EXIT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)
