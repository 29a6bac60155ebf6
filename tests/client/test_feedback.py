"""Reports over real sockets: what is sent, what is tried again, what is raised."""

import asyncio
import json
import random
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from client.stub_gateway import JOB_ARN, SEALED, Reply, StubGateway
from turnwright.client import AsyncFeedbackClient, Backoff, FeedbackClient, FeedbackError, Rollout

COMPLETE = "/complete-rollout"
REWARD = "/update-reward"


class Blocking:
    """The asyncio client with the blocking one's methods, so that every test runs against both."""

    def __init__(self, rollout: Rollout, *, backoff: Backoff) -> None:
        self._client = AsyncFeedbackClient(rollout, backoff=backoff)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Coroutine[Any, Any, Any]] = getattr(self._client, name)
        return lambda *args, **kwargs: asyncio.run(method(*args, **kwargs))


@pytest.fixture(params=[FeedbackClient, Blocking], ids=["sync", "async"])
def client(request: pytest.FixtureRequest, gateway: StubGateway, quick: Backoff) -> Any:
    return request.param(Rollout.from_payload(gateway.payload()), backoff=quick)


def test_a_report_completes_and_rewards_with_identity(client: Any, gateway: StubGateway) -> None:
    client.report(0.5, components={"answer": 1})
    assert gateway.reports() == [
        (COMPLETE, {"Status": "ready"}),
        (REWARD, {"Rewards": [0.5], "Components": {"answer": 1.0}}),
    ]
    for call in gateway.received:
        assert call.method == "POST"
        assert call.headers["authorization"] == "Bearer key-of-t-1"
        assert call.headers["x-amzn-sagemaker-job-arn"] == JOB_ARN
        assert call.headers["x-amzn-sagemaker-trajectory-id"] == "t-1"
        assert call.headers["content-type"] == "application/json"
        assert call.body["TrajectoryId"] == "t-1"
    assert len({call.body["ClientToken"] for call in gateway.received}) == 2


def test_rewards_per_turn(client: Any, gateway: StubGateway) -> None:
    client.reward([0.25, 1])
    assert gateway.reports() == [(REWARD, {"Rewards": [0.25, 1.0]})]


def test_errors_seal_as_failed_and_give_no_reward(client: Any, gateway: StubGateway) -> None:
    client.report_error(ValueError("no such tool"))
    client.report_error("gave up")
    assert gateway.reports() == [
        (COMPLETE, {"Status": "failed", "Detail": "ValueError: no such tool"}),
        (COMPLETE, {"Status": "failed", "Detail": "gave up"}),
    ]


def test_a_bad_reward_sends_nothing(client: Any, gateway: StubGateway) -> None:
    with pytest.raises(ValueError, match="reward must be finite, got nan"):
        client.report(float("nan"))
    assert gateway.received == []


@pytest.mark.parametrize(
    "trouble",
    [
        Reply(status=429, headers={"Retry-After": "0"}),
        Reply(status=429, headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}),
        Reply(status=500),
        Reply(status=503, headers={"Retry-After": "0.001"}),
        Reply(drop=True),
    ],
    ids=["429", "429 until a date", "500", "503", "dropped"],
)
def test_trouble_is_tried_again_with_the_same_token(client: Any, gateway: StubGateway, trouble: Reply) -> None:
    gateway.answers(REWARD, trouble, trouble)
    client.reward(1.0)
    bodies = gateway.bodies(REWARD)
    assert len(bodies) == 3
    assert bodies[0] == bodies[1] == bodies[2]


def test_the_gateways_words_are_raised_after_the_last_attempt(client: Any, gateway: StubGateway) -> None:
    busy = Reply(status=429, body=json.dumps({"message": "512 trajectories wait"}))
    gateway.answers(COMPLETE, *[busy] * 4)
    with pytest.raises(FeedbackError) as raised:
        client.complete()
    assert str(raised.value) == (
        "POST /complete-rollout (trajectory t-1) was answered 429 after 4 attempts: 512 trajectories wait"
    )
    assert (raised.value.status, raised.value.message, raised.value.attempts) == (429, "512 trajectories wait", 4)
    assert len(gateway.received) == 4


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 409, 413])
def test_a_refusal_is_raised_at_once(client: Any, gateway: StubGateway, status: int) -> None:
    gateway.answers(REWARD, Reply(status=status, body=json.dumps({"error": {"message": "no"}})))
    with pytest.raises(FeedbackError, match=f"was answered {status}: no$"):
        client.reward(1.0)
    assert len(gateway.received) == 1


def test_sealed_by_an_attempt_whose_answer_was_lost_is_success(client: Any, gateway: StubGateway) -> None:
    gateway.answers(COMPLETE, Reply(drop=True), Reply(status=409, body=SEALED))
    client.complete()
    gateway.answers(COMPLETE, Reply(status=502), Reply(status=429), Reply(status=409, body=SEALED))
    client.complete()


@pytest.mark.parametrize(
    "replies",
    [
        [Reply(status=409, body=SEALED)],
        [Reply(status=429), Reply(status=409, body=SEALED)],
        [Reply(drop=True), Reply(status=409, body=json.dumps({"message": "another job's trajectory"}))],
    ],
    ids=["first attempt", "after a refusal", "other words"],
)
def test_any_other_conflict_is_raised(client: Any, gateway: StubGateway, replies: list[Reply]) -> None:
    gateway.answers(COMPLETE, *replies)
    with pytest.raises(FeedbackError) as raised:
        client.complete()
    assert raised.value.status == 409


def test_a_gateway_that_is_away_is_named(quick: Backoff, gateway: StubGateway) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        payload = gateway.payload()
        payload["metadata"]["endpoint"] = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(FeedbackError, match="got no answer after 4 attempts: ConnectionRefusedError") as raised:
            FeedbackClient(Rollout.from_payload(payload), backoff=quick).complete()
    assert raised.value.status is None


def test_pauses_grow_to_a_bound_and_heed_the_gateway() -> None:
    backoff = Backoff(first_seconds=1.0, most_seconds=30.0)
    for attempt, longest in [(1, 1.0), (2, 2.0), (5, 16.0), (6, 30.0)]:
        for _ in range(20):
            assert longest / 2 <= backoff.pause(attempt, None) <= longest
    assert backoff.pause(10**6, None) == 30.0
    assert backoff.pause(1, "20") == 20.0
    assert backoff.pause(1, "3600") == 30.0
    assert backoff.pause(1, "nan") <= 1.0
    assert backoff.pause(1, "-5") <= 1.0


def test_the_agents_seeded_generator_is_left_alone() -> None:
    random.seed(7)
    expected = random.random()
    random.seed(7)
    Backoff().pause(1, None)
    assert random.random() == expected


def test_the_async_client_does_not_block_the_loop(gateway: StubGateway) -> None:
    rollout = Rollout.from_payload(gateway.payload())
    gateway.answers(COMPLETE, Reply(status=503, headers={"Retry-After": "0.2"}))

    async def main() -> int:
        report = asyncio.create_task(AsyncFeedbackClient(rollout, backoff=Backoff(first_seconds=0.001)).complete())
        turns = 0
        while not report.done():
            turns += 1
            await asyncio.sleep(0.01)
        await report
        return turns

    assert asyncio.run(main()) >= 3
