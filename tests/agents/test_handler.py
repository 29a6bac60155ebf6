"""Lambda-style handlers, run locally."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
import stamina

from turnwright.agents.base import AgentError
from turnwright.agents.handler import HandlerAgent
from turnwright.core.errors import EnvironmentLoadError


def launch(handler: Callable[..., Any] | str, request, **options: Any) -> None:
    async def go() -> None:
        agent = HandlerAgent(handler, **{"timeout": 20.0, **options})
        try:
            assert await agent.launch(request) is None
        finally:
            await agent.close()

    asyncio.run(go())


@pytest.mark.parametrize("answer", [{}, None, {"statusCode": 200}, "accepted"])
def test_the_handler_gets_the_payload_and_a_context(answer: object, rollout) -> None:
    seen: list[Any] = []

    def forward(event: dict, context: Any) -> object:
        seen.extend([event, context, context.get_remaining_time_in_millis()])
        return answer

    launch(forward, rollout())
    event, context, remaining = seen
    assert event["metadata"]["rolloutId"] == "t-5f2c"
    assert 15_000 < remaining <= 20_000
    name = context.function_name
    assert context.invoked_function_arn == f"arn:aws:lambda:local:000000000000:function:{name}"
    assert name.endswith("forward")
    assert (context.memory_limit_in_mb, context.function_version, len(context.aws_request_id)) == (256, "$LATEST", 36)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("ValidationError", r"handler .* answered ValidationError: bad \[key\] \(the handler or its agent refuses"),
        ("AccessDenied", "AccessDenied: .*check its credentials"),
        ("InternalServerError", "InternalServerError: .*broke"),
        ("OutOfCheese", r"answered OutOfCheese: bad \[key\]$"),
    ],
)
def test_an_error_type_fails_the_attempt_at_once(kind: str, said: str, rollout) -> None:
    calls: list[int] = []

    def forward(event: dict, context: Any) -> dict:
        calls.append(1)
        return {"errorType": kind, "errorMessage": f"bad {event['metadata']['api_key']}"}

    with pytest.raises(AgentError, match=said) as caught:
        launch(forward, rollout())
    assert (caught.value.cause, len(calls)) == ("agent_error", 1)


def test_a_throttled_rollout_is_offered_again(rollout) -> None:
    calls: list[str] = []

    def forward(event: dict, context: Any) -> dict:
        calls.append(context.aws_request_id)
        return {"errorType": "Throttling", "errorMessage": "slow down"} if len(calls) < 3 else {}

    with stamina.set_testing(True, attempts=9, cap=True):  # no pauses
        launch(forward, rollout(), attempts=3)
        assert len(calls) == 3
        calls[:] = []
        with pytest.raises(AgentError, match="Throttling: slow down; offered at most 2 times") as caught:
            launch(
                lambda event, context: {"errorType": "Throttling", "errorMessage": "slow down"}, rollout(), attempts=2
            )
    assert caught.value.cause == "agent_unreachable"


def test_a_handler_that_raises_is_an_agent_error(rollout) -> None:
    def forward(event: dict, context: Any) -> dict:
        return event["no such key"]

    with pytest.raises(AgentError, match="KeyError: 'no such key'") as caught:
        launch(forward, rollout())
    assert caught.value.cause == "agent_error"


def test_a_handler_that_does_not_return_times_out_and_sees_it_coming(rollout) -> None:
    remaining: list[int] = []

    def forward(event: dict, context: Any) -> None:
        time.sleep(0.15)
        remaining.append(context.get_remaining_time_in_millis())

    with pytest.raises(AgentError, match=r"forward did not return within 0\.1 s") as caught:
        launch(forward, rollout(), timeout=0.1)
    assert caught.value.cause == "agent_timeout"
    assert remaining == [0]


def test_a_handler_is_found_by_name_and_must_take_event_and_context(tmp_path, rollout) -> None:
    file = tmp_path / "lambda_function.py"
    file.write_text("def handler(event, context):\n    return {}\ndef rollout(payload): ...\n")
    launch(f"{file}:handler", rollout())
    with pytest.raises(EnvironmentLoadError, match=r"must accept \(event, context\)"):
        HandlerAgent(f"{file}:rollout", timeout=1)
