"""One contained program as the host sees it: its supervisor, its pipes, and how it ended.

                     memfd: supervisor's code, settings
    Running  ------- lifeline (closing it ends all) ------->  supervisor  --starts, watches, ends-->  program
             <------ status: one line at the end -----------                                             |
             <------ standard output and error, each kept up to its limit -----------------------------'

The thread that waits does all the work; another one may ``cut`` the run at any time.
"""

import fcntl
import importlib.util
import marshal
import os
import select
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

from turnwright.sandbox.base import Ending, RunResult, SandboxError, SandboxLimits

REPORT_SECONDS = 30.0
"""Between the latest end that a supervisor may give a program and its word about it: the machine may be busy."""
OPEN_FILES = 256
CHUNK = 65536
OUTPUT, ERRORS, STATUS, INPUT = "output", "errors", "status", "input"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a supervisor is told."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str
    """Where the program starts."""
    writable: tuple[str, ...]
    """Folders whose files count as disk."""
    limits: SandboxLimits
    wall_seconds: float | None
    """None = the host keeps time."""
    readable: tuple[str, ...] = ()
    """Never counted as disk."""
    user: int | None = None
    """Whom the program runs as, a user of its own; None = whoever starts the supervisor."""
    keep_reading: bool = False
    """That user reads what it can see whatever the file modes say: for an interpreter or files of root alone."""
    other_processes: int = 0
    """Processes and threads of the same user outside the sandbox, which the kernel counts in."""
    namespaced: bool = False
    """The supervisor is the first process of a namespace."""
    scoped: bool = False
    """The supervisor can enter a Landlock domain from which it reaches only what it starts."""
    landlock: Mapping[str, object] | None = None
    """Rules for the supervisor to put on."""
    seccomp: bytes = b""
    """Filter for the supervisor to put on; empty = somebody else does."""

    def packed(self) -> bytes:
        """Return them as the supervisor reads them."""
        limits = self.limits
        processor = int(limits.cpu_seconds) + 1
        file_size = limits.disk_bytes + 4096
        processes = limits.processes + self.other_processes
        kernel = {
            "RLIMIT_CORE": (0, 0),
            "RLIMIT_CPU": (processor, processor + 1),
            "RLIMIT_DATA": (4 * limits.memory_bytes, 4 * limits.memory_bytes),
            "RLIMIT_FSIZE": (file_size, file_size),
            "RLIMIT_MEMLOCK": (0, 0),
            "RLIMIT_MSGQUEUE": (0, 0),
            "RLIMIT_NOFILE": (OPEN_FILES, OPEN_FILES),
            "RLIMIT_NPROC": (processes, processes),
        }
        return marshal.dumps(
            {
                "command": list(self.command),
                "environment": dict(self.environment),
                "folder": self.folder,
                "writable": list(self.writable),
                "readable": list(self.readable),
                "limits": kernel,
                "memory": limits.memory_bytes,
                "cpu": limits.cpu_seconds,
                "disk": limits.disk_bytes,
                "processes": limits.processes,
                "wall": self.wall_seconds,
                "user": self.user,
                "keep_reading": self.keep_reading,
                "namespaced": self.namespaced,
                "scoped": self.scoped,
                "landlock": self.landlock,
                "seccomp": self.seccomp,
            }
        )


class Running:
    """A program in work."""

    def __init__(
        self, settings: Settings, launcher: Callable[[Sequence[str], list[int]], list[str]], *, stdin: bytes | None
    ) -> None:
        """Start it.

        Args:
            settings: For its supervisor.
            launcher: Makes the command that starts the supervisor from the one that would start it uncontained;
                descriptors that it needs are added to the list, and closed here once it is started.
            stdin: What the program reads; None = what ``send`` writes.

        Raises:
            SandboxError: nothing can be started.
        """
        self._limits = settings.limits
        self._lock = threading.Lock()
        self._cut: Ending | None = None
        self._started = time.monotonic()
        self._kept = {OUTPUT: bytearray(), ERRORS: bytearray(), STATUS: bytearray()}
        self._seen = {OUTPUT: 0, ERRORS: 0}
        self._selector = selectors.DefaultSelector()
        self._pending = memoryview(b"")
        handed: list[int] = []
        try:
            self._process = self._start(settings, launcher, stdin, handed)
        except (OSError, ValueError) as error:
            self._selector.close()
            raise SandboxError(f"no contained program can be started: {error}") from error
        finally:
            for file in handed:
                os.close(file)

    def _start(
        self,
        settings: Settings,
        launcher: Callable[[Sequence[str], list[int]], list[str]],
        stdin: bytes | None,
        handed: list[int],
    ) -> "subprocess.Popen[bytes]":
        handed.append(sealed(settings.packed()))
        reading, self._lifeline = os.pipe()
        handed.append(reading)
        status, writing = os.pipe()
        handed.append(writing)
        try:
            arguments = [str(file) for file in handed]
            handed.append(sealed(_supervisor()))
            # In isolated mode and without site: nothing of the host's Python settings, and a quick start.
            supervisor = [sys.executable, "-I", "-S", f"/proc/self/fd/{handed[-1]}", *arguments]
            command = launcher(supervisor, handed)
            source = subprocess.PIPE if stdin is None else _input(stdin, handed)
            process = subprocess.Popen(
                command,
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=handed,
                env={},
                cwd="/",
                start_new_session=True,
            )
        except BaseException:
            os.close(self._lifeline)
            os.close(status)
            raise
        self._streams = (process.stdout, process.stderr, os.fdopen(status, "rb", 0))
        for stream, name in zip(self._streams, (OUTPUT, ERRORS, STATUS), strict=True):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ, name)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
        return process

    @property
    def output(self) -> bytearray:
        """Standard output as far as it is here and nobody took it."""
        return self._kept[OUTPUT]

    @property
    def ended(self) -> bool:
        """Whether the program and its supervisor have closed all they write to."""
        return set(self._open_streams()) <= {INPUT}

    def cut(self, ending: Ending) -> None:
        """End the program and all it started; the first reason counts."""
        with self._lock:
            if self._cut is None:
                self._cut = ending
                os.close(self._lifeline)

    def send(self, line: bytes) -> None:
        """Have a line written to standard input as fast as the program reads."""
        source = self._process.stdin
        assert source is not None
        if not self._pending and not source.closed:
            self._selector.register(source, selectors.EVENT_WRITE, INPUT)
        self._pending = memoryview(bytes(self._pending) + line)

    def pump(self, until: Callable[[], bool], timeout: float) -> bool:
        """Move bytes until a condition holds; returns False when time ran out or all streams have ended."""
        deadline = time.monotonic() + timeout
        while not until():
            left = deadline - time.monotonic()
            if left <= 0 or self.ended:
                return until()
            for key, _ in self._selector.select(left):
                self._move(key)
        return True

    def result(self) -> RunResult:
        """Wait for the end of all processes and return how the program ended.

        Raises:
            SandboxError: the supervisor broke, or said nothing.
        """
        wall = self._limits.wall_seconds + REPORT_SECONDS
        try:
            ended = self.pump(lambda: self.ended, wall)
        finally:
            self.cut("closed")
            _end(self._process)
            self._close()
        if not ended:
            raise SandboxError(f"the sandbox did not end a program within {wall:g} s: its supervisor hangs")
        ending, _, rest = self._kept[STATUS].decode().partition(" ")
        if ending in ("", "broken"):
            why = rest or text(self._kept[ERRORS]).strip() or f"exit code {self._process.returncode}"
            raise SandboxError(f"the sandbox broke: {why}")
        code, seconds = rest.split()
        cut = self._cut if ending == "closed" and self._cut is not None else cast("Ending", ending)
        if self._overflowed() and cut == "exited":
            cut = "output"
        return RunResult(
            ending=cut,
            exit_code=int(code) if cut == "exited" else None,
            stdout=text(self._kept[OUTPUT]),
            stderr=text(self._kept[ERRORS]),
            wall_seconds=float(seconds),
        )

    def _overflowed(self) -> bool:
        return max(self._seen.values()) > self._limits.output_bytes

    def _open_streams(self) -> list[str]:
        return [key.data for key in self._selector.get_map().values()]

    def _move(self, key: selectors.SelectorKey) -> None:
        if key.data == INPUT:
            self._write(key)
            return
        try:
            chunk = os.read(key.fd, CHUNK)
        except BlockingIOError:
            return
        if not chunk:
            self._selector.unregister(key.fileobj)
            return
        if key.data == STATUS:
            self._kept[STATUS] += chunk
            return
        room = max(0, self._limits.output_bytes - self._seen[key.data])
        self._kept[key.data] += chunk[:room]
        self._seen[key.data] += len(chunk)
        if len(chunk) > room:
            self.cut("output")

    def _write(self, key: selectors.SelectorKey) -> None:
        try:
            self._pending = self._pending[os.write(key.fd, self._pending) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._pending = memoryview(b"")
        if not self._pending:
            self._selector.unregister(key.fileobj)

    def _close(self) -> None:
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
        self._selector.close()
        for stream in (self._process.stdin, *self._streams):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


@cache
def _supervisor() -> bytes:
    """Return the supervisor as a .pyc: compiling it takes longer than starting Python."""
    source = Path(__file__).with_name("supervisor.py")
    code = compile(source.read_bytes(), str(source), "exec")
    return importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(code)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Wait for a supervisor that has lost its lifeline; one that hangs is killed."""
    file = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(file, select.POLLIN)
        if not poll.poll(1000 * REPORT_SECONDS):
            process.kill()
    finally:
        os.close(file)
    process.wait()


def sealed(content: bytes) -> int:
    """Return a descriptor from which the content can be read, and through which nobody can change it."""
    file = os.memfd_create("turnwright", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with os.fdopen(file, "wb", closefd=False) as stream:
        stream.write(content)
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals)
    os.lseek(file, 0, os.SEEK_SET)
    return file


def text(stream: bytes | bytearray) -> str:
    """Return what a program printed as text; bytes that are no UTF-8 as escapes."""
    return stream.decode(errors="backslashreplace")


def _input(stdin: bytes, handed: list[int]) -> int:
    if not stdin:
        return subprocess.DEVNULL
    handed.append(sealed(stdin))
    return handed[-1]
