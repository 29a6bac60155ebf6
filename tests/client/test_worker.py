"""The pull loop against a queue on a real socket."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from client.stub_gateway import Reply, StubGateway
from turnwright.client import FeedbackError, Rollout, rollout_handler, work

NEXT = "/rollouts/next"
EMPTY = Reply(status=204, body="")


def handed_out(gateway: StubGateway, trajectory_id: str) -> Reply:
    return Reply(body=json.dumps(gateway.payload(trajectory_id)))


def work_through(gateway: StubGateway, handler: Callable[[Any], Any], *replies: Reply, **options: Any) -> None:
    """Work until the queue has given these answers; then it refuses, which ends the work."""
    gateway.answers(NEXT, *replies, *[Reply(status=403, body='{"message": "the run is over"}')] * 4)
    with pytest.raises(FeedbackError, match=r"GET /rollouts/next was answered 403: the run is over"):
        work(gateway.url, "worker-token", handler, **options)


def calls(gateway: StubGateway, path: str) -> int:
    return sum(call.path == path for call in gateway.received)


@rollout_handler
def agent(rollout: Rollout) -> float:
    return 1.0


def test_it_asks_until_there_is_a_rollout_and_runs_it(gateway: StubGateway) -> None:
    work_through(gateway, agent, EMPTY, handed_out(gateway, "t-1"), handed_out(gateway, "t-2"))
    assert [body["TrajectoryId"] for body in gateway.bodies("/update-reward")] == ["t-1", "t-2"]
    asked = [call for call in gateway.received if call.path == NEXT]
    assert {(call.method, call.headers["authorization"]) for call in asked} == {("GET", "Bearer worker-token")}
    assert {call.query["wait"] for call in asked} == {"20"}
    assert len({call.query["worker"] for call in asked}) == 1
    assert len(asked) == 4


def test_a_closing_gateway_is_not_hammered(gateway: StubGateway) -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    gateway.answers(NEXT, *[EMPTY] * 1000)
    work(gateway.url, "worker-token", agent, stop=stop)
    assert calls(gateway, NEXT) == 1


def test_heartbeats_come_while_the_handler_works_and_stop_with_it(gateway: StubGateway) -> None:
    beat = "/rollouts/t%2F1/heartbeat"

    def handler(payload: Any) -> None:
        deadline = time.monotonic() + 5
        while calls(gateway, beat) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.005)

    gateway.answers(beat, Reply(status=500), Reply(drop=True))  # no reason to give the rollout up
    work_through(gateway, handler, handed_out(gateway, "t/1"), heartbeat_seconds=0.01)
    beats = calls(gateway, beat)
    assert beats >= 3
    time.sleep(0.05)
    assert calls(gateway, beat) == beats
    [worker] = {call.query["worker"] for call in gateway.received}
    renewals = [call for call in gateway.received if call.path == beat]
    assert {(call.method, call.headers["authorization"]) for call in renewals} == {("POST", "Bearer worker-token")}
    assert {call.query["worker"] for call in renewals} == {worker}


def test_a_lost_lease_is_told_and_no_longer_renewed(gateway: StubGateway, caplog: pytest.LogCaptureFixture) -> None:
    beat = "/rollouts/t-1/heartbeat"
    gateway.answers(beat, Reply(status=409, body='{"message": "handed to another worker"}'))

    def handler(payload: Any) -> None:
        time.sleep(0.1)

    work_through(gateway, handler, handed_out(gateway, "t-1"), heartbeat_seconds=0.01)
    assert calls(gateway, beat) == 1
    assert "the lease of rollout t-1 is lost: handed to another worker" in caplog.text


def test_a_failing_rollout_does_not_end_the_worker(gateway: StubGateway, caplog: pytest.LogCaptureFixture) -> None:
    @rollout_handler
    async def fails_once(rollout: Rollout) -> float:
        if rollout.trajectory_id == "t-1":
            raise RuntimeError("no such order")
        return 1.0

    work_through(gateway, fails_once, handed_out(gateway, "t-1"), Reply(body="no request"), handed_out(gateway, "t-2"))
    assert [body["TrajectoryId"] for body in gateway.bodies("/update-reward")] == ["t-2"]
    assert "RuntimeError: no such order" in caplog.text
    assert "RolloutRequestError: the rollout request is not JSON" in caplog.text


@pytest.mark.slow
def test_a_busy_or_absent_gateway_is_waited_for(gateway: StubGateway) -> None:
    work_through(gateway, agent, Reply(status=503), Reply(drop=True), handed_out(gateway, "t-1"))
    assert len(gateway.bodies("/update-reward")) == 1


def test_several_rollouts_are_in_work_at_a_time(gateway: StubGateway) -> None:
    together = threading.Barrier(3, timeout=5)

    def handler(payload: Any) -> None:
        together.wait()

    work_through(gateway, handler, *(handed_out(gateway, f"t-{n}") for n in range(3)), concurrency=3)
    assert not together.broken


def test_it_stops_when_told_after_the_rollout_in_work(gateway: StubGateway) -> None:
    stop = threading.Event()

    @rollout_handler
    def last(rollout: Rollout) -> float:
        stop.set()
        return 1.0

    gateway.answers(NEXT, handed_out(gateway, "t-1"))
    work(gateway.url + "/", "worker-token", last, stop=stop)
    assert calls(gateway, NEXT) == 1
    assert len(gateway.bodies("/update-reward")) == 1
