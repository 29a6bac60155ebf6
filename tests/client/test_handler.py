"""The decorator, for functions and coroutine functions, against a gateway on a real socket."""

import asyncio
import inspect
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from client.stub_gateway import SEALED, Reply, StubGateway
from turnwright.client import (
    FeedbackError,
    NoRolloutError,
    Rollout,
    RolloutRequestError,
    current_rollout,
    rollout_handler,
)

Agent = Callable[[Rollout], Any]
READY = ("/complete-rollout", {"Status": "ready"})


def run_blocking(agent: Agent, payload: Any) -> Any:
    return rollout_handler(agent)(payload)


def run_async(agent: Agent, payload: Any) -> Any:
    async def coroutine(rollout: Rollout) -> Any:
        await asyncio.sleep(0)
        return agent(rollout)

    return asyncio.run(rollout_handler(coroutine)(payload))


@pytest.fixture(params=[run_blocking, run_async], ids=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Callable[[Agent, Any], Any]:
    return request.param


@pytest.mark.parametrize(
    ("result", "reports"),
    [
        (0.5, [READY, ("/update-reward", {"Rewards": [0.5]})]),
        ([0.5, 1.0], [READY, ("/update-reward", {"Rewards": [0.5, 1.0]})]),
        (
            {"reward": 1.0, "components": {"format": 0.5}},
            [READY, ("/update-reward", {"Rewards": [1.0], "Components": {"format": 0.5}})],
        ),
        ({"answer": "42"}, [READY]),
        (None, [READY]),
        (
            {"status": "error", "error": "tool down"},
            [("/complete-rollout", {"Status": "failed", "Detail": "tool down"})],
        ),
        ({"status": "skipped"}, []),
    ],
)
def test_results_are_reported_and_returned(
    run: Callable[[Agent, Any], Any], gateway: StubGateway, result: Any, reports: list[Any]
) -> None:
    assert run(lambda rollout: result, gateway.payload()) == result
    assert gateway.reports() == reports


def test_the_agent_gets_its_rollout_and_it_is_current(run: Callable[[Agent, Any], Any], gateway: StubGateway) -> None:
    seen: list[Rollout] = []

    def agent(rollout: Rollout) -> None:
        seen.extend([rollout, current_rollout()])

    run(agent, {"body": json.dumps(gateway.payload("t-7"))})
    assert [rollout.trajectory_id for rollout in seen] == ["t-7", "t-7"]
    with pytest.raises(NoRolloutError):
        current_rollout()


def test_an_exception_is_reported_and_raised_again(run: Callable[[Agent, Any], Any], gateway: StubGateway) -> None:
    def agent(rollout: Rollout) -> None:
        raise KeyError("price")

    with pytest.raises(KeyError, match="price"):
        run(agent, gateway.payload())
    assert gateway.reports() == [("/complete-rollout", {"Status": "failed", "Detail": "KeyError: 'price'"})]


@pytest.mark.parametrize(
    ("result", "kind", "detail"),
    [
        (
            "1.0",
            TypeError,
            "TypeError: a rollout handler must return a number, a list of numbers, a dict or None, got str",
        ),
        (float("nan"), ValueError, "ValueError: reward must be finite, got nan"),
    ],
)
def test_a_result_that_says_nothing_fails_the_rollout(
    run: Callable[[Agent, Any], Any], gateway: StubGateway, result: Any, kind: type[Exception], detail: str
) -> None:
    with pytest.raises(kind):
        run(lambda rollout: result, gateway.payload())
    [(path, fields)] = gateway.reports()
    assert (path, fields["Status"]) == ("/complete-rollout", "failed")
    assert fields["Detail"].startswith(detail)


def test_errors_while_reporting_are_raised(run: Callable[[Agent, Any], Any], gateway: StubGateway) -> None:
    gateway.answers("/update-reward", Reply(status=403, body='{"message": "token expired"}'))
    with pytest.raises(FeedbackError, match=r"POST /update-reward .* 403: token expired"):
        run(lambda rollout: 1.0, gateway.payload())
    assert [path for path, _ in gateway.reports()] == ["/complete-rollout", "/update-reward"]


def test_errors_while_reporting_an_error_carry_both(run: Callable[[Agent, Any], Any], gateway: StubGateway) -> None:
    gateway.answers("/complete-rollout", Reply(status=409, body=SEALED))

    def agent(rollout: Rollout) -> None:
        raise ZeroDivisionError

    with pytest.raises(FeedbackError, match="Cannot transition trajectory") as raised:
        run(agent, gateway.payload())
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


def test_what_is_no_rollout_request_is_refused_before_the_agent_starts(run: Callable[[Agent, Any], Any]) -> None:
    with pytest.raises(RolloutRequestError, match="lacks 'metadata'"):
        run(lambda rollout: pytest.fail("the agent ran"), {"prompt": "x"})


def test_an_interrupted_agent_reports_nothing(gateway: StubGateway) -> None:
    def interrupted(rollout: Rollout) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rollout_handler(interrupted)(gateway.payload())

    async def main() -> None:
        task = asyncio.create_task(rollout_handler(lambda_that_waits)(gateway.payload()))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    async def lambda_that_waits(rollout: Rollout) -> None:
        await asyncio.sleep(60)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert gateway.reports() == []


def test_concurrent_rollouts_report_for_themselves(gateway: StubGateway) -> None:
    @rollout_handler
    def agent(rollout: Rollout) -> float:
        return float(current_rollout().trajectory_id.removeprefix("t-"))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: agent(gateway.payload(f"t-{number}")), range(40)))
    rewards = {body["TrajectoryId"]: body["Rewards"] for body in gateway.bodies("/update-reward")}
    assert rewards == {f"t-{number}": [float(number)] for number in range(40)}


def test_it_is_a_lambda_handler_and_keeps_its_name(gateway: StubGateway) -> None:
    @rollout_handler
    def solve(rollout: Rollout) -> float:
        """Solve it."""
        return 1.0

    assert solve(gateway.payload(), object()) == 1.0
    assert inspect.unwrap(solve).__doc__ == solve.__doc__ == "Solve it."
    # What web frameworks read: one parameter, the body.
    assert str(inspect.signature(solve)) == "(payload: dict[str, typing.Any])"
