"""One child process with its group: what it wrote, when it ended, and how to be rid of all of it.

payload --stdin--> process --stdout, stderr--> the last 64 KiB of each
"""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

KEPT_BYTES = 64 * 1024
"""What is kept of each stream: its end."""
DRAIN_SECONDS = 1.0
"""How long a pipe may stay open after the group is gone: a descendant that left the group can hold it."""
REAP_SECONDS = 5.0
STDOUT, STDERR = 1, 2


class Tails(asyncio.SubprocessProtocol):
    """Keeps the end of what a process writes and tells when it has ended; its memory is bounded."""

    def __init__(self) -> None:
        """Start with nothing written; needs a running event loop."""
        loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[None] = loop.create_future()
        self._tails = {STDOUT: bytearray(), STDERR: bytearray()}
        self._ends = {STDOUT: loop.create_future(), STDERR: loop.create_future()}

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keep the end."""
        tail = self._tails[fd]
        tail += data
        del tail[:-KEPT_BYTES]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Note that a stream is complete."""
        if fd in self._ends and not self._ends[fd].done():
            self._ends[fd].set_result(None)

    def process_exited(self) -> None:
        """Note the end."""
        if not self.exited.done():
            self.exited.set_result(None)

    def text(self, fd: int) -> str:
        """Return the end of a stream."""
        return self._tails[fd].decode(errors="replace")

    async def drain(self) -> None:
        """Wait until both streams are complete, but not for long."""
        await asyncio.wait(self._ends.values(), timeout=DRAIN_SECONDS)


class ProcessGroup:
    """A running process, the leader of a session and group of its own."""

    def __init__(self, transport: asyncio.SubprocessTransport, tails: Tails) -> None:
        """Take what ``start`` started."""
        self._transport = transport
        self._tails = tails
        self._group = transport.get_pid()

    @classmethod
    async def start(
        cls, command: Sequence[str], *, env: Mapping[str, str], cwd: Path | None, stdin: bytes
    ) -> "ProcessGroup":
        """Start a process that can read ``stdin``.

        Raises:
            OSError: the program cannot be started.
        """
        loop = asyncio.get_running_loop()
        # A file instead of a pipe: whether and when the process reads it is its own affair.
        with TemporaryFile() as file:
            file.write(stdin)
            file.seek(0)
            starting = asyncio.ensure_future(
                loop.subprocess_exec(Tails, *command, stdin=file, env=dict(env), cwd=cwd, start_new_session=True)
            )
            try:
                return cls(*await asyncio.shield(starting))
            except asyncio.CancelledError:
                # It may be running already, and may have started others by now.
                with suppress(OSError, ValueError):
                    await cls(*await starting).end(grace_seconds=0.0)
                raise

    async def wait(self) -> None:
        """Wait until the process has exited; some of its group may still run."""
        await asyncio.wait({self._tails.exited})

    async def end(self, grace_seconds: float) -> None:
        """End the whole group and close its pipes, also when this is interrupted; what was written is complete then.

        Args:
            grace_seconds: How long a process that still runs may take to end by itself.
        """
        try:
            if not self._tails.exited.done() and grace_seconds > 0:
                self._signal(signal.SIGTERM)
                await asyncio.wait({self._tails.exited}, timeout=grace_seconds)
        finally:
            self._signal(signal.SIGKILL)
            try:
                await asyncio.wait({self._tails.exited}, timeout=REAP_SECONDS)
                await self._tails.drain()
            finally:
                self._transport.close()

    @property
    def exit_code(self) -> int | None:
        """Exit code after ``end``; -n = ended by signal n, None = the system has not let go of it."""
        return self._transport.get_returncode()

    def output(self) -> str:
        """Return the end of standard output."""
        return self._tails.text(STDOUT)

    def errors(self) -> str:
        """Return the end of standard error."""
        return self._tails.text(STDERR)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._group, number)
