"""A worker that pulls rollouts from the gateway, for agents that nothing can connect to.

    GET /rollouts/next?wait=20 --204--> again
                               --200--> handler(payload), with POST /rollouts/{trajectory_id}/heartbeat beside it

A rollout that was handed out is leased: while the heartbeats come it is this worker's; when they stop, because the
process died, the gateway gives it to another.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

from turnwright.client.delivery import Backoff
from turnwright.client.errors import FeedbackError
from turnwright.client.handler import run_handler
from turnwright.client.request import Rollout
from turnwright.client.transport import Answer, NoAnswer, exchange

_log = logging.getLogger(__name__)
_LEAST_SECONDS = 0.5
"""From one request for a rollout to the next: a gateway that is closing answers 204 at once."""


def work(
    endpoint: str,
    token: str,
    handler: Callable[[Any], Any],
    *,
    concurrency: int = 1,
    wait_seconds: float = 20.0,
    heartbeat_seconds: float = 5.0,
    stop: threading.Event | None = None,
) -> None:
    """Pull rollouts and run them until told to stop; a gateway that is busy or away is waited for.

    Args:
        endpoint: Base URL of the gateway.
        token: What the gateway gives to its workers.
        handler: What ``rollout_handler`` returns, or any function of the payload that reports for itself. What it
            raises is logged, and the worker goes on.
        concurrency: Rollouts in work at a time, each in a thread.
        wait_seconds: How long the gateway may hold a request for the next rollout open, at most 60.
        heartbeat_seconds: Pause between heartbeats; well below the lease.
        stop: Set it to end ``work`` after the rollouts in work and the open requests.

    Raises:
        FeedbackError: The gateway refuses this worker: a wrong token, a wrong URL, or a gateway without a queue.
    """
    name = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
    queue = _Queue(
        endpoint=endpoint.rstrip("/"), token=token, worker=name, wait=wait_seconds, heartbeat=heartbeat_seconds
    )
    stop = stop or threading.Event()
    with ThreadPoolExecutor(concurrency, thread_name_prefix="rollout") as threads:
        loops = [threads.submit(_work, queue, handler, stop) for _ in range(concurrency)]
        try:
            for loop in loops:
                loop.result()
        finally:
            stop.set()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Queue:
    """The gateway's queue, as one worker sees it."""

    endpoint: str
    token: str
    worker: str
    """The lease is held under this name."""
    wait: float
    heartbeat: float

    def next(self) -> Answer | NoAnswer:
        """Ask for a rollout; 204 = there is none yet."""
        return self._call("GET", "/rollouts/next", {"wait": f"{self.wait:g}"}, seconds=self.wait + 30)

    def beat(self, trajectory_id: str) -> Answer | NoAnswer:
        """Keep a lease."""
        return self._call("POST", f"/rollouts/{quote(trajectory_id, safe='')}/heartbeat", {}, seconds=10)

    def _call(self, method: str, path: str, query: dict[str, str], *, seconds: float) -> Answer | NoAnswer:
        url = f"{self.endpoint}{path}?{urlencode({**query, 'worker': self.worker})}"
        return exchange(method, url, headers={"Authorization": f"Bearer {self.token}"}, body=b"", seconds=seconds)


def _work(queue: _Queue, handler: Callable[[Any], Any], stop: threading.Event) -> None:
    backoff = Backoff()
    failures = 0
    try:
        while not stop.is_set():
            asked = time.monotonic()
            outcome = queue.next()
            if isinstance(outcome, Answer) and outcome.status in (200, 204):
                failures = 0
                if outcome.status == 200:
                    _run(queue, handler, outcome.body)
                else:
                    stop.wait(asked + _LEAST_SECONDS - time.monotonic())
                continue
            failures += 1
            _require_hope(outcome)
            pause = backoff.pause(failures, outcome.retry_after if isinstance(outcome, Answer) else None)
            _log.warning("no rollout from the gateway, next request in %.1f s: %s", pause, outcome.message)
            stop.wait(pause)
    except BaseException:
        stop.set()  # the other threads would go on with a worker that is refused
        raise


def _require_hope(outcome: Answer | NoAnswer) -> None:
    """Raise when the same request will never succeed."""
    if isinstance(outcome, Answer) and outcome.status != 429 and outcome.status < 500:
        raise FeedbackError("GET /rollouts/next", status=outcome.status, message=outcome.message)


def _run(queue: _Queue, handler: Callable[[Any], Any], body: bytes) -> None:
    """Run one rollout; whatever goes wrong with it is its own, and the worker goes on."""
    try:
        rollout = Rollout.from_payload(body)
        with _heartbeats(queue, rollout.trajectory_id):
            run_handler(handler, rollout.payload)
    except Exception:
        _log.exception("rollout failed")


@contextmanager
def _heartbeats(queue: _Queue, trajectory_id: str) -> Iterator[None]:
    done = threading.Event()

    def beat() -> None:
        while not done.wait(queue.heartbeat):
            outcome = queue.beat(trajectory_id)
            if isinstance(outcome, Answer) and 400 <= outcome.status < 500 and outcome.status != 429:
                # The handler cannot be stopped from here; what it reports will be refused, and raised there.
                _log.warning("the lease of rollout %s is lost: %s", trajectory_id, outcome.message)
                return
            if isinstance(outcome, NoAnswer) or outcome.status >= 300:
                _log.warning("heartbeat of rollout %s failed: %s", trajectory_id, outcome.message)

    thread = threading.Thread(target=beat, name=f"heartbeat {trajectory_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
