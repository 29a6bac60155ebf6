"""Whatever comes in, the gateway answers in the caller's shape, breaks nowhere and does not grow."""

import asyncio
import gc
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from system.gateway_at_work import ANSWER, AtWork, Visit, at_work, at_work_elsewhere
from system.mutations import Mutant, mutants
from system.raw_http import RawAnswer, RawConnection, raw_connection
from turnwright.gateway.session import Session

pytestmark = pytest.mark.slow

NUM_MUTANTS = 10_000
WARM_UP = 4_000
PER_TRAJECTORY = 50
NUM_CALLERS = 4
MOST_GROWTH_MB = 16.0
EXAMPLES_PER_OPERATION = 20
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
UNLIMITED = {"calls_per_second": 1e6, "max_concurrent_calls": 1000}


def test_every_answer_is_one_that_the_openapi_document_tells_of(tmp_path: Path) -> None:
    with at_work_elsewhere(tmp_path, max_turns=None, **UNLIMITED) as (work, run):
        url = work.opened.url
        document = requests.get(f"{url}/openapi.json", timeout=10).json()
        schema = schemathesis.openapi.from_dict(document)
        schema.config.update(base_url=url)
        token = work.opened.credentials.mint(None, ("sample", "reward", "control"))
        statuses = Counter[int]()

        @settings(
            max_examples=EXAMPLES_PER_OPERATION,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        )
        @given(data=st.data())
        def every_answer_conforms(data: st.DataObject, operation: Any) -> None:
            mode = data.draw(st.sampled_from(list(schemathesis.GenerationMode)))
            case = data.draw(operation.as_strategy(generation_mode=mode))
            if data.draw(st.booleans()):
                _, request = run(work.open())
                aim_at(case, request.trajectory_id)
            hurry(case)
            answer = case.call(headers={"Authorization": f"Bearer {token}"}, timeout=30)
            statuses[answer.status_code] += 1
            case.validate_response(answer, checks=CHECKS)

        for found in schema.get_all_operations():
            assert isinstance(found, Ok)
            every_answer_conforms(operation=found.ok())
        assert statuses[200] > 40, "many calls get through"
        assert statuses[400] > 40, "many are wrong"
        assert sum(statuses.values()) > 300


def aim_at(case: Any, trajectory_id: str) -> None:
    """Let a generated call be about a trajectory that is there."""
    if "trajectory_id" in (case.path_parameters or {}):
        case.path_parameters["trajectory_id"] = trajectory_id
    if isinstance(case.body, dict) and "TrajectoryId" in case.body:
        case.body["TrajectoryId"] = trajectory_id
    for name in list(case.headers or {}):
        if name.lower().startswith("x-amzn"):
            del case.headers[name]
    if case.operation.method == "post" and "{" not in case.path:
        case.headers = {**(case.headers or {}), "X-Amzn-SageMaker-Trajectory-Id": trajectory_id}


def hurry(case: Any) -> None:
    """Let no worker wait for the rollouts that never come here."""
    wait = (case.query or {}).get("wait", 20)
    if case.path == "/rollouts/next" and re.fullmatch(r"\d+(\.\d+)?", str(wait)) and 0.01 < float(wait) <= 60:
        case.query["wait"] = 0.01


def test_ten_thousand_mutated_bodies_break_nothing_and_leave_nothing(tmp_path: Path) -> None:
    async def main() -> Counter[int]:
        async with at_work(tmp_path, max_turns=None, **UNLIMITED) as work:
            statuses = Counter[int]()
            rounds = iter(range(NUM_MUTANTS // PER_TRAJECTORY))

            async def call(last_round: int) -> None:
                async with raw_connection(work.opened.url) as connection:
                    for number in rounds:
                        await one_trajectory(work, connection, number, statuses)
                        if number >= last_round:
                            break

            async def all_call(last_round: int) -> None:
                async with asyncio.TaskGroup() as group:
                    for _ in range(NUM_CALLERS):
                        group.create_task(call(last_round))

            await all_call(WARM_UP // PER_TRAJECTORY)
            warm = resident_mb()
            await all_call(NUM_MUTANTS)
            assert resident_mb() - warm < MOST_GROWTH_MB
            assert not work.engine.open_episodes
            assert work.opened.gateway.gauges()["calls_in_work"] == 0

            _, request = await work.open()
            answer = await Visit(request.payload(), []).say()
            assert answer.json()["choices"][0]["message"]["content"] == ANSWER
            return statuses

    statuses = asyncio.run(main())
    assert sum(statuses.values()) == NUM_MUTANTS
    assert all(status < 500 for status in statuses), statuses
    assert statuses[200] > NUM_MUTANTS / 20, "many are still good"
    assert statuses[400] > NUM_MUTANTS / 3


async def one_trajectory(work: AtWork, connection: RawConnection, seed: int, statuses: Counter[int]) -> None:
    """Send mutants about one trajectory, which is then taken by the run as after an attempt."""
    session, request = await work.open()
    control = work.opened.credentials.mint(None, ("control",))
    for mutant in mutants(seed, request.trajectory_id, PER_TRAJECTORY):
        token = control if mutant.path.startswith("/control") else request.api_key
        answer = await connection.send("POST", mutant.path, (("Authorization", f"Bearer {token}"),), mutant.body)
        statuses[answer.status] += 1
        require_shape(mutant, answer)
        if mutant.path == "/control/rollouts" and answer.status == 200:
            await let_go(work, work.opened.gateway.session(answer.json()["metadata"]["trajectory_id"]))
    await let_go(work, session)


async def let_go(work: AtWork, session: Session) -> None:
    await session.abort("interrupted", "the test has seen enough")
    work.opened.gateway.drop(session)


def require_shape(mutant: Mutant, answer: RawAnswer) -> None:
    """Every answer is of the dialect that was spoken, and no error is ours."""
    told = (mutant, answer)
    assert answer.status < 500, told
    if answer.headers["content-type"].startswith("text/event-stream"):
        assert (answer.status, answer.body[-2:]) == (200, b"\n\n"), told
        assert not re.search(rb"server_error|api_error", answer.body), told
        return
    body = answer.json()
    json.dumps(body, allow_nan=False)
    if answer.status == 200:
        return
    if mutant.path.startswith("/v1/messages"):
        assert (body["type"], set(body["error"])) == ("error", {"type", "message"}), told
    elif mutant.path.startswith(("/v1/", "/sample")):
        assert set(body["error"]) == {"type", "message", "param", "code"}, told
    else:
        assert set(body) == {"__type", "message"}, told
    assert "message" not in body or body["message"], told
    assert "error" not in body or body["error"]["message"], told


def resident_mb() -> float:
    """Memory of this process that is in use."""
    gc.collect()
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024
