"""A ProcessEngine whose worker lives in the same process: everything but the process, in no time."""

import asyncio
import copy
import shutil
import socket
import tempfile
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from turnwright.inference.local import LocalEngine
from turnwright.inference.remote import ProcessEngine
from turnwright.inference.wire import Ready
from turnwright.inference.worker import Worker
from turnwright.models.load import Policy
from turnwright.models.publication import Publisher


class HostedWorker:
    """A worker with a local engine over a copy of a policy, in the event loop of whoever asks it."""

    def __init__(self, policy: Policy, *, deterministic: bool = False, **options: Any) -> None:
        theirs = replace(policy, model=copy.deepcopy(policy.model))
        self.engine = LocalEngine(theirs, deterministic=deterministic, **options)
        self.ready = Ready(
            num_slots=self.engine.num_slots,
            max_sequence_length=self.engine.max_sequence_length,
            fingerprint={},
        )
        self.end_here, self.end_there = socket.socketpair()
        self._worker = Worker(self.engine, deterministic=deterministic)
        self._ended = threading.Event()
        self._task: asyncio.Task[None] | None = None

    def serve(self) -> None:
        """Begin, if that has not been done."""
        if self._task is None:
            self._task = asyncio.create_task(self._worker.serve(self.end_there))
            self._task.add_done_callback(lambda _: self._ended.set())

    def end(self) -> str:
        """Let it end and wait."""
        if self._task is not None:
            with suppress(OSError):
                self.end_here.shutdown(socket.SHUT_RDWR)
            assert self._ended.wait(30)
        self.end_there.close()
        return "the hosted worker ended"


class HostedEngine(ProcessEngine):
    """Made as a LocalEngine is made."""

    def __init__(self, policy: Policy, *, deterministic: bool = False, **options: Any) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="hosted-"))
        self.worker = HostedWorker(policy, deterministic=deterministic, **options)
        super().__init__(self.worker, Publisher(policy, self._folder), deterministic=deterministic)

    @property
    def _slots(self) -> Any:
        return self.worker.engine._slots

    def _attach(self) -> None:
        self.worker.serve()
        super()._attach()

    async def close(self) -> None:
        await super().close()
        shutil.rmtree(self._folder, ignore_errors=True)
