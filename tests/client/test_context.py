import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from client.stub_gateway import StubGateway
from turnwright.client import NoRolloutError, Rollout, RolloutExecutor, current_rollout, rollout_context, with_rollout


@pytest.fixture
def rollouts(gateway: StubGateway) -> list[Rollout]:
    return [Rollout.from_payload(gateway.payload(f"t-{number}")) for number in range(4)]


def current_id() -> str:
    return current_rollout().trajectory_id


def test_outside_a_rollout_there_is_none_and_the_error_says_what_to_do() -> None:
    with pytest.raises(NoRolloutError, match=r"RolloutExecutor.*with_rollout.*rollout_context"):
        current_rollout()


def test_contexts_nest_and_end(rollouts: list[Rollout]) -> None:
    with rollout_context(rollouts[0]):
        with suppress(KeyError), rollout_context(rollouts[1]):
            assert current_id() == "t-1"
            raise KeyError
        assert current_id() == "t-0"
    with pytest.raises(NoRolloutError):
        current_rollout()


def test_a_plain_thread_gets_an_error_and_never_a_strangers_rollout(rollouts: list[Rollout]) -> None:
    with ThreadPoolExecutor(1, thread_name_prefix="plain") as pool, rollout_context(rollouts[0]):
        with pytest.raises(NoRolloutError, match="thread 'plain_0'"):
            pool.submit(current_rollout).result()
        assert pool.submit(with_rollout(current_id)).result() == "t-0"
        with pytest.raises(NoRolloutError):  # the thread that ran it keeps nothing
            pool.submit(current_rollout).result()


def test_an_executor_shared_by_concurrent_rollouts_keeps_them_apart(rollouts: list[Rollout]) -> None:
    with RolloutExecutor(3) as pool:

        def agent(rollout: Rollout) -> list[str]:
            with rollout_context(rollout):
                return list(pool.map(lambda _: current_id(), range(20)))

        with ThreadPoolExecutor(4) as agents:
            seen = list(agents.map(agent, rollouts))
        with pytest.raises(NoRolloutError):
            pool.submit(current_rollout).result()
    assert seen == [[f"t-{number}"] * 20 for number in range(4)]


def test_a_bound_function_runs_in_several_threads_at_once(rollouts: list[Rollout]) -> None:
    barrier = threading.Barrier(2, timeout=5)

    def meet() -> str:
        barrier.wait()
        return current_id()

    with rollout_context(rollouts[2]):
        bound = with_rollout(meet)
    with ThreadPoolExecutor(2) as pool:
        assert [future.result() for future in [pool.submit(bound), pool.submit(bound)]] == ["t-2", "t-2"]


def test_binding_without_a_rollout_raises_where_it_is_asked_for() -> None:
    with pytest.raises(NoRolloutError):
        with_rollout(current_id)


def test_tasks_inherit_and_do_not_mix(rollouts: list[Rollout]) -> None:
    async def agent(rollout: Rollout) -> set[str]:
        with rollout_context(rollout), RolloutExecutor(2) as pool:
            loop = asyncio.get_running_loop()
            seen: set[str] = set()
            for _ in range(5):
                await asyncio.sleep(0)
                seen |= {current_id(), await asyncio.to_thread(current_id)}
                seen.add(await loop.run_in_executor(pool, current_id))
            return seen

    async def main() -> list[set[str]]:
        return await asyncio.gather(*(agent(rollout) for rollout in rollouts))

    assert asyncio.run(main()) == [{f"t-{number}"} for number in range(4)]
