"""Rollouts that workers fetch: order, leases, and every way of losing one."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnwright.agents.base import AgentError
from turnwright.agents.queue import QueueLauncher, RolloutQueue

LEASE = 0.05


def a_queue(capacity: int = 8, lease_seconds: float = 60.0, max_deliveries: int = 3, **more) -> RolloutQueue:
    return RolloutQueue(capacity=capacity, lease_seconds=lease_seconds, max_deliveries=max_deliveries, **more)


async def fetch(queue: RolloutQueue, worker: str = "w", wait_seconds: float = 0.0) -> str | None:
    request = await queue.next(worker, wait_seconds)
    return request.trajectory_id if request else None


def numbers(queue: RolloutQueue) -> tuple[float, float, float, float]:
    waiting, leased, workers, expired = queue.gauges().values()
    return waiting, leased, workers, expired


def test_rollouts_come_out_in_the_order_they_went_in(rollout) -> None:
    async def go() -> None:
        queue = a_queue()
        for i in range(3):
            await queue.put(rollout(trajectory_id=f"t-{i}"))
        assert numbers(queue) == (3, 0, 0, 0)
        assert [await fetch(queue) for _ in range(4)] == ["t-0", "t-1", "t-2", None]
        assert numbers(queue) == (0, 3, 0, 0)

    asyncio.run(go())


def test_workers_that_wait_are_served_in_their_order_as_rollouts_come(rollout) -> None:
    async def go() -> None:
        queue = a_queue()
        polls = [asyncio.create_task(fetch(queue, f"w-{i}", 20)) for i in range(3)]
        await asyncio.sleep(0)
        assert numbers(queue) == (0, 0, 3, 0)
        polls[0].cancel()
        await asyncio.sleep(0)
        for i in range(2):
            await queue.put(rollout(trajectory_id=f"t-{i}"))
        assert await asyncio.gather(*polls[1:]) == ["t-0", "t-1"]
        assert [queue.heartbeat(f"t-{i}", f"w-{i + 1}") for i in range(2)] == [True, True]
        assert numbers(queue) == (0, 2, 0, 0)

    asyncio.run(go())


def test_a_worker_that_waits_in_vain_gets_nothing() -> None:
    async def go() -> None:
        queue = a_queue()
        assert await asyncio.wait_for(fetch(queue, wait_seconds=0.02), 5) is None
        assert await fetch(queue, wait_seconds=-1) is None
        assert numbers(queue) == (0, 0, 0, 0)

    asyncio.run(go())


def test_a_poll_cancelled_while_it_is_being_served_loses_nothing(rollout) -> None:
    async def go() -> None:
        queue = a_queue(max_deliveries=1)
        poll = asyncio.create_task(fetch(queue, "gone", 20))
        await asyncio.sleep(0)
        ended = await queue.put(rollout())
        poll.cancel()  # its answer is set, it has not run since
        with pytest.raises(asyncio.CancelledError):
            await poll
        assert not queue.heartbeat("t-5f2c", "gone")
        assert await fetch(queue, "here") == "t-5f2c"  # not counted as a delivery
        assert not ended.done()

    asyncio.run(go())


def test_an_expired_lease_puts_the_rollout_in_front(rollout) -> None:
    async def go() -> None:
        queue = a_queue(lease_seconds=LEASE)
        for name in ("t-0", "t-1"):
            await queue.put(rollout(trajectory_id=name))
        assert await fetch(queue, "dies") == "t-0"
        await asyncio.sleep(LEASE * 1.5)
        assert numbers(queue) == (2, 0, 0, 1)
        assert not queue.heartbeat("t-0", "dies")
        assert await fetch(queue, "lives") == "t-0"
        assert not queue.heartbeat("t-0", "dies")
        assert queue.heartbeat("t-0", "lives")

    asyncio.run(go())


def test_heartbeats_keep_a_lease(rollout) -> None:
    async def go() -> None:
        queue = a_queue(lease_seconds=0.2, max_deliveries=1)
        ended = await queue.put(rollout())
        await fetch(queue, "w")
        for _ in range(6):
            await asyncio.sleep(0.05)
            assert queue.heartbeat("t-5f2c", "w")
            assert not queue.heartbeat("t-5f2c", "another")
        assert not queue.heartbeat("t-unknown", "w")
        queue.release("t-5f2c")
        assert await ended is None
        assert not queue.heartbeat("t-5f2c", "w")
        queue.release("t-5f2c")
        assert numbers(queue) == (0, 0, 0, 0)

    asyncio.run(go())


def test_a_rollout_that_no_worker_keeps_is_given_up(rollout) -> None:
    async def go() -> None:
        queue = a_queue(lease_seconds=LEASE, max_deliveries=2)
        launching = asyncio.create_task(QueueLauncher(queue).launch(rollout()))
        for i in range(2):
            assert await fetch(queue, f"w-{i}", 5) == "t-5f2c"
        with pytest.raises(AgentError, match=r"worker 'w-1' sent no heartbeat .*handed out 2 times") as caught:
            await asyncio.wait_for(launching, 5)
        assert caught.value.cause == "agent_unreachable"
        assert numbers(queue) == (0, 0, 0, 2)

    asyncio.run(go())


def test_a_rollout_whose_agent_has_sampled_is_not_handed_out_again(rollout) -> None:
    async def go() -> None:
        queue = a_queue(lease_seconds=LEASE, has_sampled={"t-5f2c"}.__contains__)
        ended = await queue.put(rollout())
        assert await fetch(queue) == "t-5f2c"
        with pytest.raises(AgentError, match="after its agent had asked the policy"):
            await asyncio.wait_for(ended, 5)
        assert await fetch(queue) is None

    asyncio.run(go())


@pytest.mark.parametrize("is_leased", [False, True])
def test_cancelling_a_launch_takes_the_rollout_out(is_leased: bool, rollout) -> None:
    async def go() -> None:
        queue = a_queue(capacity=1)
        launcher = QueueLauncher(queue)
        launching = asyncio.create_task(launcher.launch(rollout()))
        await asyncio.sleep(0)
        if is_leased:
            assert await fetch(queue) == "t-5f2c"
        launching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await launching
        assert numbers(queue) == (0, 0, 0, 0)
        assert not queue.heartbeat("t-5f2c", "w")
        await asyncio.wait_for(queue.put(rollout(trajectory_id="t-next")), 5)  # the room is free

    asyncio.run(go())


def test_put_waits_for_room_in_order_and_can_be_cancelled(rollout) -> None:
    async def go() -> None:
        queue = a_queue(capacity=1)
        puts = [asyncio.create_task(queue.put(rollout(trajectory_id=f"t-{i}"))) for i in range(4)]
        await asyncio.sleep(0.01)
        assert [put.done() for put in puts] == [True, False, False, False]
        puts[1].cancel()
        assert [await fetch(queue, wait_seconds=5) for _ in range(3)] == ["t-0", "t-2", "t-3"]

    asyncio.run(go())


def test_closing_fails_launches_and_answers_workers(rollout) -> None:
    async def go() -> None:
        queue = a_queue(capacity=1)
        launcher = QueueLauncher(queue)
        launches = [asyncio.create_task(launcher.launch(rollout(trajectory_id=f"t-{i}"))) for i in range(3)]
        await asyncio.sleep(0)
        await launcher.close()
        ends = await asyncio.wait_for(asyncio.gather(*launches, return_exceptions=True), 5)
        assert [type(end) for end in ends] == [AgentError] * 3
        assert await fetch(queue, wait_seconds=20) is None
        idle = a_queue()
        poll = asyncio.create_task(fetch(idle, wait_seconds=20))
        await asyncio.sleep(0)
        idle.close()
        assert await asyncio.wait_for(poll, 5) is None

    asyncio.run(go())


steps = st.lists(
    st.tuples(st.sampled_from(["put", "fetch", "drop poll", "wait", "release"]), st.integers(0, 5)), max_size=20
)


@settings(max_examples=100)
@given(steps)
def test_whatever_happens_each_rollout_is_in_one_place_and_ends_once(rollout, steps) -> None:
    """Leases are short, so that waiting lets them expire; nobody sends heartbeats until the end."""

    async def go() -> None:
        queue = a_queue(capacity=50, max_deliveries=2, lease_seconds=0.001)
        ended: dict[str, asyncio.Future[None]] = {}
        workers: dict[str, str] = {}
        polls: list[asyncio.Task[None]] = []

        async def poll(worker: str) -> None:
            request = await queue.next(worker, 60)
            if request is not None:
                assert not queue.heartbeat(request.trajectory_id, workers.get(request.trajectory_id, "nobody"))
                workers[request.trajectory_id] = worker

        for number, (step, choice) in enumerate(steps):
            if step == "put":
                ended[f"t-{number}"] = await queue.put(rollout(trajectory_id=f"t-{number}"))
            elif step == "fetch":
                polls.append(asyncio.create_task(poll(f"w-{number}")))
            elif step == "drop poll" and polls:
                polls.pop(choice % len(polls)).cancel()
            elif step == "wait":
                await asyncio.sleep(0.002)
            elif step == "release" and ended:
                queue.release(list(ended)[choice % len(ended)])
            if choice % 2:
                await asyncio.sleep(0)
        for _ in range(5):  # until each poll that was answered has run
            await asyncio.sleep(0)
        waiting, leased, _, _ = numbers(queue)
        assert waiting + leased == sum(not future.done() for future in ended.values())
        assert sum(queue.heartbeat(name, worker) for name, worker in workers.items()) == leased
        queue.close()
        outcomes = await asyncio.gather(*polls, return_exceptions=True)
        assert not [outcome for outcome in outcomes if isinstance(outcome, AssertionError)]
        ends = await asyncio.gather(*ended.values(), return_exceptions=True)
        assert all(end is None or isinstance(end, AgentError) for end in ends)
        assert numbers(queue)[:3] == (0, 0, 0)

    asyncio.run(go())
