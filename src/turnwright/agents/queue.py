"""A queue for agents that no connection can be made to: they come and fetch their rollouts.

    put --> waiting --next--> leased to a worker --release--> gone
               ^                 |   ^--heartbeat renews the lease
               +---lease expired-+

A worker keeps its lease by heartbeats. A lease that expires puts the rollout back in front, unless its agent has asked
the policy already: two agents must never work at one trajectory, so that attempt fails and the next one gets a
trajectory of its own. All of it happens on the event loop, by timers and futures; nothing polls.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from turnwright.agents.base import AgentError, nobody
from turnwright.core.rollout import RolloutRequest


@dataclass(slots=True, kw_only=True)
class _Held:
    """A rollout in the queue, from put to release."""

    request: RolloutRequest
    ended: asyncio.Future[None]
    """Done when the rollout leaves the queue; holds the AgentError when it is given up."""
    on_start: Callable[[], None]
    """Called at each delivery."""
    deliveries: int = 0
    has_room: bool = True
    """It takes one of the places for waiting rollouts."""
    worker: str | None = None
    """Who has the lease."""
    expiry: asyncio.TimerHandle | None = None


@dataclass(slots=True, kw_only=True)
class _Poll:
    """A worker that waits for work."""

    worker: str
    answer: asyncio.Future[RolloutRequest]


class RolloutQueue:
    """Rollouts that wait for a worker or are leased to one; first in, first out, for rollouts and workers alike.

    Example::

        queue = RolloutQueue(capacity=256, lease_seconds=60, max_deliveries=3)
        ended = await queue.put(request)
        (await queue.next("worker-1", wait_seconds=20))        # the request
        queue.heartbeat(request.trajectory_id, "worker-1")     # True: has the lease for another 60 s
        queue.release(request.trajectory_id)                   # ended is done
    """

    def __init__(
        self,
        *,
        capacity: int,
        lease_seconds: float,
        max_deliveries: int,
        has_sampled: Callable[[str], bool] = lambda trajectory_id: False,
    ) -> None:
        """Make an empty queue.

        Args:
            capacity: Most rollouts that wait for a worker; ``put`` waits for room.
            lease_seconds: How long a worker may be silent.
            max_deliveries: How often one rollout is handed out.
            has_sampled: Whether the agent of a trajectory has asked the policy yet; False for one it does not know.
        """
        self._room = asyncio.Semaphore(capacity)
        self._lease_seconds = lease_seconds
        self._max_deliveries = max_deliveries
        self._has_sampled = has_sampled
        self._held: dict[str, _Held] = {}
        self._waiting: OrderedDict[str, _Held] = OrderedDict()
        self._polls: deque[_Poll] = deque()
        self._num_expired = 0
        self._num_delivered = 0
        self._is_closed = False

    @property
    def num_delivered(self) -> int:
        """How often a rollout was handed to a worker so far."""
        return self._num_delivered

    async def put(self, request: RolloutRequest, on_start: Callable[[], None] = nobody) -> "asyncio.Future[None]":
        """Add a rollout, waiting for room.

        Args:
            request: What a worker is told.
            on_start: Called each time a worker gets it.

        Returns:
            A future that is done when the rollout is released. It raises AgentError when no worker keeps it.

        Raises:
            AgentError: the queue is closed.
        """
        await self._room.acquire()
        if self._is_closed:
            self._room.release()
            raise AgentError("agent_unreachable", "the rollout queue is closed")
        held = _Held(request=request, on_start=on_start, ended=asyncio.get_running_loop().create_future())
        self._held[request.trajectory_id] = held
        self._waiting[request.trajectory_id] = held
        self._hand_out()
        return held.ended

    async def next(self, worker_id: str, wait_seconds: float) -> RolloutRequest | None:
        """Lease the next rollout to a worker.

        Args:
            worker_id: The worker's own name for itself; its heartbeats must carry it.
            wait_seconds: How long to wait for one.

        Returns:
            The rollout; None when there was none in time, or the queue is closed.
        """
        if self._is_closed:
            return None
        poll = _Poll(worker=worker_id, answer=asyncio.get_running_loop().create_future())
        self._polls.append(poll)
        self._hand_out()
        try:
            await asyncio.wait({poll.answer}, timeout=max(0.0, wait_seconds))
        except asyncio.CancelledError:
            if poll.answer.done() and not poll.answer.cancelled():
                self._take_back(poll.answer.result().trajectory_id, worker_id)
            raise
        finally:
            if poll in self._polls:
                self._polls.remove(poll)
        return poll.answer.result() if poll.answer.done() and not poll.answer.cancelled() else None

    def heartbeat(self, trajectory_id: str, worker_id: str) -> bool:
        """Renew a lease; False = the worker does not have it (any more) and must stop working at that rollout."""
        held = self._held.get(trajectory_id)
        if held is None or held.worker is None or held.worker != worker_id:
            return False
        self._lease(held, worker_id)
        return True

    def release(self, trajectory_id: str) -> None:
        """Forget a rollout whose trajectory has ended; one that is not here is fine."""
        held = self._held.pop(trajectory_id, None)
        if held is None:
            return
        self._leave_waiting(held)
        self._end_lease(held)
        if not held.ended.done():
            held.ended.set_result(None)

    def close(self) -> None:
        """Fail what is here and answer every worker that waits with nothing."""
        self._is_closed = True
        for held in tuple(self._held.values()):
            self._give_up(held, AgentError("agent_unreachable", "the rollout queue was closed"))
        for poll in self._polls:
            poll.answer.cancel()

    def gauges(self) -> dict[str, float]:
        """Return how many rollouts wait and are leased, workers that wait, and leases that expired so far."""
        return {
            "queue/waiting": float(len(self._waiting)),
            "queue/leased": float(len(self._held) - len(self._waiting)),
            "queue/workers_waiting": float(len(self._polls)),
            "queue/leases_expired": float(self._num_expired),
        }

    def _hand_out(self) -> None:
        """Give the first rollout to the first worker, until there is none of one of them."""
        while self._waiting and self._polls:
            poll = self._polls.popleft()
            if poll.answer.done():
                continue
            held = next(iter(self._waiting.values()))
            self._leave_waiting(held)
            held.deliveries += 1
            self._num_delivered += 1
            held.on_start()
            self._lease(held, poll.worker)
            poll.answer.set_result(held.request)

    def _lease(self, held: _Held, worker_id: str) -> None:
        self._end_lease(held)
        held.worker = worker_id
        loop = asyncio.get_running_loop()
        held.expiry = loop.call_later(self._lease_seconds, partial(self._expire, held))

    def _end_lease(self, held: _Held) -> None:
        held.worker = None
        if held.expiry is not None:
            held.expiry.cancel()
            held.expiry = None

    def _expire(self, held: _Held) -> None:
        self._num_expired += 1
        silent = f"worker {held.worker!r} sent no heartbeat for {self._lease_seconds:g} s"
        self._end_lease(held)
        if self._has_sampled(held.request.trajectory_id):
            self._give_up(held, AgentError("agent_unreachable", f"{silent} after its agent had asked the policy"))
        elif held.deliveries >= self._max_deliveries:
            times = f"the rollout was handed out {held.deliveries} times, the most allowed"
            self._give_up(held, AgentError("agent_unreachable", f"{silent}; {times}"))
        else:
            self._return_to_front(held)

    def _take_back(self, trajectory_id: str, worker_id: str) -> None:
        """Undo a delivery whose worker went away before it got the rollout."""
        held = self._held.get(trajectory_id)
        if held is not None and held.worker == worker_id:
            self._end_lease(held)
            held.deliveries -= 1
            self._return_to_front(held)

    def _return_to_front(self, held: _Held) -> None:
        self._waiting[held.request.trajectory_id] = held
        self._waiting.move_to_end(held.request.trajectory_id, last=False)
        self._hand_out()

    def _leave_waiting(self, held: _Held) -> None:
        self._waiting.pop(held.request.trajectory_id, None)
        if held.has_room:
            held.has_room = False
            self._room.release()

    def _give_up(self, held: _Held, error: AgentError) -> None:
        if not held.ended.done():
            held.ended.set_exception(error)
        self.release(held.request.trajectory_id)


class QueueLauncher:
    """Implements AgentLauncher over a queue."""

    def __init__(self, queue: RolloutQueue, *, patience_seconds: float = 600.0) -> None:
        """Take the queue that workers fetch from.

        Args:
            queue: Where rollouts wait.
            patience_seconds: How long no worker may fetch anything before a rollout that waits is given up. While some
                are fetched, the others wait their turn, however long the queue is.
        """
        self._queue = queue
        self._patience_seconds = patience_seconds

    async def launch(self, request: RolloutRequest, on_start: Callable[[], None] = nobody) -> None:
        """Queue the rollout and wait until it is released; cancelling it takes the rollout out of the queue.

        Raises:
            AgentError: no worker kept it, or none came.
        """
        fetched = asyncio.Event()

        def note_start() -> None:
            fetched.set()
            on_start()

        ended = await self._queue.put(request, note_start)
        try:
            while not fetched.is_set() and not ended.done():
                before = self._queue.num_delivered
                await asyncio.wait({ended}, timeout=self._patience_seconds)
                if not ended.done() and not fetched.is_set() and self._queue.num_delivered == before:
                    raise AgentError(
                        "agent_unreachable",
                        f"no worker fetched a rollout within {self._patience_seconds:g} s: start one that polls "
                        "GET /rollouts/next (turnwright.client.work)",
                    )
            await ended
        finally:
            self._queue.release(request.trajectory_id)

    async def close(self) -> None:
        """Close the queue."""
        self._queue.close()
