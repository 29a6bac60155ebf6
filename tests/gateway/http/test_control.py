"""Opening a trajectory for a task, and reading what was recorded of it."""

import asyncio
from typing import Any

import pytest

from gateway.http.serving import CALL_TEXT, JOB_ARN, Served, serving
from turnwright.core.episode import EpisodeKey
from turnwright.core.task import Task
from turnwright.gateway.credentials import Scope
from turnwright.rundir.gateway_records import Opened
from turnwright.rundir.recovery import rebuild

TASK = {"prompt": "order: O3", "id": "demo-1", "data": {"gold": "refund"}, "split": "validation"}
CHAT = {"messages": [{"role": "user", "content": "order: O3"}]}


def token(served: Served, *scopes: Scope) -> str:
    return served.credentials.mint(None, scopes or ("control",))


async def show(served: Served, trajectory_id: str, key: str) -> tuple[int, Any]:
    path = f"/control/rollouts/{trajectory_id}"
    answer = await served.client.get(path, headers={"Authorization": f"Bearer {key}"})
    return answer.status_code, answer.json()


def test_a_rollout_is_opened_played_and_shown() -> None:
    async def run() -> None:
        async with serving() as served:
            control = token(served)
            opened = await served.post("/control/rollouts", TASK, control)
            assert opened.status_code == 200
            request = opened.json()
            assert request["prompt"] == "order: O3"
            assert "refund" not in opened.text, "ground truth is not for the agent"
            name, key = request["metadata"]["trajectoryId"], request["metadata"]["api_key"]
            session = served.gateway.session(name)
            assert (session.task.id, session.task.split, session.task.data) == ("demo-1", "validation", TASK["data"])

            status, shown = await show(served, name, control)
            assert (status, shown["state"], shown["turns"], shown["outcome"]) == (200, "open", [], None)

            await served.post("/v1/chat/completions", CHAT, key)
            report = {"TrajectoryId": name}
            await served.post("/complete-rollout", report, key)
            await served.post("/update-reward", {**report, "Rewards": [0.5], "Components": {"answer": 0.5}}, key)
            _, shown = await show(served, name, control)
            assert (shown["state"], shown["task_id"], shown["attempt"]) == ("rewarded", "demo-1", 0)
            assert shown["outcome"] == {
                "kind": "rewarded", "value": 0.5, "turn_values": [], "components": {"answer": 0.5}
            }  # fmt: skip
            [turn] = shown["turns"]
            [recorded] = session.trajectory().turns
            assert tuple(turn["prompt_token_ids"]) == recorded.prompt_token_ids
            assert tuple(turn["sampled_token_ids"]) == recorded.sampled_token_ids
            assert tuple(turn["logprobs"]) == recorded.logprobs, "every bit of them"
            assert turn["sampled_text"].startswith(CALL_TEXT)
            assert "order: O3" in turn["prompt_text"]

    asyncio.run(run())


def test_only_a_control_token_opens_and_shows() -> None:
    async def run() -> None:
        async with serving(accept_unscoped=True) as served:
            _, request = await served.open()
            for key in (request.api_key, token(served, "sample", "reward"), "none", "tw1.forged.token"):
                assert (await served.post("/control/rollouts", TASK, key)).status_code == 403
                assert (await show(served, request.trajectory_id, key))[0] == 403
            bound = served.credentials.mint(request.trajectory_id, ("control",))
            assert (await show(served, request.trajectory_id, bound))[0] == 200
            _, other = await served.open()
            assert (await show(served, other.trajectory_id, bound))[0] == 403
            assert (await show(served, "t-none", token(served)))[0] == 404

    asyncio.run(run())


def test_a_dropped_trajectory_says_where_its_record_is() -> None:
    async def run() -> None:
        async with serving() as served:
            session, request = await served.open()
            await session.abort("timeout", "too slow")
            served.gateway.drop(session)
            status, body = await show(served, request.trajectory_id, token(served))
            assert (status, body["__type"]) == (409, "ConflictException")
            assert "run directory" in body["message"]

    asyncio.run(run())


def test_a_trajectory_of_an_earlier_process_is_shown_as_it_was_left() -> None:
    opened = Opened(
        trajectory_id="t-earlier",
        key=EpisodeKey(task_id="demo-1", attempt=2),
        task=Task(id="demo-1", prompt="order: O3"),
        job_arn=JOB_ARN,
        time=0.0,
    )

    async def run() -> None:
        async with serving(recovered={"t-earlier": rebuild([opened])}) as served:
            status, shown = await show(served, "t-earlier", token(served))
            assert (status, shown["state"], shown["attempt"], shown["turns"]) == (200, "interrupted", 2, [])
            elsewhere = served.credentials.mint("t-other", ("control",))
            assert (await show(served, "t-earlier", elsewhere))[0] == 403
            assert (await show(served, "t-earlier", token(served, "sample")))[0] == 403

    asyncio.run(run())


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "x", "data": []}, "data"),
        ({"prompt": "x", "split": "dev"}, "split"),
        ({"prompt": "x", "id": 7}, "id"),
        ({"prompt": "x", "id": ""}, "id"),
        ({"prompt": "x", "split": ""}, "split"),
    ],
)
def test_a_wrong_task_is_refused_by_its_field(body: Any, says: str) -> None:
    async def run() -> None:
        async with serving() as served:
            answer = await served.post("/control/rollouts", body, token(served))
            assert answer.status_code == 400
            assert answer.json()["message"].startswith(f"{says} must be")

    asyncio.run(run())
