"""The job runtime through boto3's own client, and what it refuses."""

import asyncio
import json
import math
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config

from gateway.http.serving import JOB_ARN, SCRIPT, Served, serving
from turnwright.core.outcome import Failed, Rewarded
from turnwright.core.rollout import RolloutRequest
from turnwright.gateway.limits import GatewayLimits

pytestmark = pytest.mark.slow

CHAT = {"messages": [{"role": "user", "content": "order: O3"}], "temperature": 1.0}
NEVER_OPENED = "t-0123456789ab"


def aws(served: Served, *, token: str | None = None) -> Any:
    """Return boto3's client with the run's key pair, or with a token of ours as session token."""
    environment = served.credentials.aws_environment(served.url)
    return boto3.client(
        "sagemakerjobruntime",
        endpoint_url=served.url,
        region_name="us-west-2",
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"] if token is None else "nobody",
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"] if token is None else "nothing",
        aws_session_token=token,
        config=Config(retries={"total_max_attempts": 1}),
    )


def sample(client: Any, request: RolloutRequest, body: Any, **fields: Any) -> Any:
    given = {"JobArn": JOB_ARN, "TrajectoryId": request.trajectory_id, "Body": json.dumps(body).encode()}
    return client.sample(**{**given, **fields})


@pytest.mark.parametrize("scoped", [False, True], ids=["key pair", "token"])
def test_boto3_samples_completes_and_rewards(scoped: bool) -> None:
    def episode(client: Any, request: RolloutRequest) -> str:
        first = json.loads(sample(client, request, CHAT)["Body"].read())["choices"][0]["message"]
        call = first["tool_calls"][0]
        result = {"role": "tool", "tool_call_id": call["id"], "content": "late"}
        body = {"messages": [*CHAT["messages"], first, result], "stream": False}
        stream = client.sample_with_response_stream(
            JobArn=JOB_ARN, TrajectoryId=request.trajectory_id, Body=json.dumps(body).encode()
        )
        events = stream["Body"].read().decode().split("\n\n")
        assert stream["ContentType"].startswith("text/event-stream")
        assert events[-2:] == ["data: [DONE]", ""]
        client.complete_rollout(JobArn=JOB_ARN, TrajectoryId=request.trajectory_id)
        client.update_reward(JobArn=JOB_ARN, TrajectoryId=request.trajectory_id, Rewards=[0.75])
        chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
        return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)

    async def run() -> None:
        async with serving() as served:
            session, request = await served.open()
            client = aws(served, token=request.api_key if scoped else None)
            assert await asyncio.to_thread(episode, client, request) == SCRIPT[1]
            assert session.outcome() == Rewarded(value=0.75)
            first, second = session.trajectory().turns
            assert (first.kind, second.kind, second.parent) == ("root", "clean", 0)

    asyncio.run(run())


def test_boto3_raises_its_own_exception_classes() -> None:
    def refused(action: Callable[[], object], error: type[Exception]) -> str:
        with pytest.raises(error) as caught:
            action()
        said = caught.value.response["Error"]["Message"]  # pyright: ignore[reportAttributeAccessIssue]
        assert said
        return said

    def calls(client: Any, other: Any, request: RolloutRequest) -> None:
        errors = client.exceptions
        report = {"JobArn": JOB_ARN, "TrajectoryId": request.trajectory_id}
        said = refused(lambda: sample(client, request, {**CHAT, "n": 2}), errors.ValidationException)
        assert said.startswith("n must be")
        said = refused(lambda: client.update_reward(**report, Rewards=[math.nan]), errors.ValidationException)
        assert "NaN" in said
        refused(lambda: client.update_reward(**report, Rewards=[]), errors.ValidationException)
        refused(lambda: sample(other, request, CHAT), other.exceptions.AccessDeniedException)
        refused(lambda: sample(client, request, CHAT, JobArn=f"{JOB_ARN}2"), errors.AccessDeniedException)
        refused(lambda: sample(client, request, CHAT, TrajectoryId=NEVER_OPENED), errors.ResourceNotFoundException)
        refused(
            lambda: client.complete_rollout(JobArn=JOB_ARN, TrajectoryId=NEVER_OPENED), errors.ResourceNotFoundException
        )
        sample(client, request, CHAT)
        refused(lambda: sample(client, request, CHAT), errors.ServiceQuotaExceededException)
        client.complete_rollout(**report)
        said = refused(lambda: client.complete_rollout(**report, Status="failed"), errors.ConflictException)
        assert "Cannot transition trajectory" in said

    async def run() -> None:
        async with serving(limits=GatewayLimits(max_turns=1)) as served:
            _, request = await served.open()
            _, stranger = await served.open()
            clients = aws(served), aws(served, token=stranger.api_key)
            await asyncio.to_thread(calls, *clients, request)

    asyncio.run(run())


def test_too_many_calls_and_our_own_bugs_have_their_classes_as_well() -> None:
    def broken(request: Any) -> str:
        raise ValueError("a bug")

    def calls(client: Any, request: RolloutRequest) -> None:
        with pytest.raises(client.exceptions.InternalServiceError):
            sample(client, request, CHAT)
        with pytest.raises(client.exceptions.ThrottlingException):
            sample(client, request, CHAT)

    async def run() -> None:
        async with serving(broken, limits=GatewayLimits(calls_per_second=0.001)) as served:
            _, request = await served.open()
            await asyncio.to_thread(calls, aws(served), request)

    asyncio.run(run())


def test_reports_are_idempotent_and_may_name_the_job_in_the_body_alone() -> None:
    async def run() -> None:
        async with serving() as served:
            session, request = await served.open()
            await served.post("/v1/chat/completions", CHAT, request.api_key)
            report = {"TrajectoryId": request.trajectory_id, "JobArn": JOB_ARN, "ClientToken": "a"}
            reward = {**report, "Rewards": [1, 0.5], "Components": {"answer": 1.5}}
            assert (await served.post("/update-reward", reward, request.api_key)).status_code == 400, "one turn"
            reward["Rewards"] = [0.5]
            for _ in range(2):
                assert (await served.post("/complete-rollout", report, request.api_key)).status_code == 200
                answer = await served.post("/update-reward", reward, request.api_key)
                assert (answer.status_code, answer.json()) == (200, {})
            assert session.outcome() == Rewarded(value=0.5, components={"answer": 1.5})
            again = await served.post("/update-reward", {**reward, "ClientToken": "b"}, request.api_key)
            assert again.status_code == 409
            assert again.headers["x-should-retry"] == "false"

    asyncio.run(run())


def test_a_failed_rollout_says_why() -> None:
    async def run() -> None:
        async with serving() as served:
            session, request = await served.open()
            await served.post("/v1/chat/completions", CHAT, request.api_key)
            report = {"TrajectoryId": request.trajectory_id, "Status": "failed", "Detail": "ValueError: no order"}
            assert (await served.post("/complete-rollout", report, request.api_key)).status_code == 200
            assert session.outcome() == Failed(cause="agent_error", detail="ValueError: no order")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/complete-rollout", {}, "TrajectoryId"),
        ("/complete-rollout", {"TrajectoryId": 5}, "TrajectoryId"),
        ("/complete-rollout", {"TrajectoryId": "x" * 257}, "TrajectoryId"),
        ("/complete-rollout", {"Status": "done"}, "Status"),
        ("/complete-rollout", {"Status": ""}, "Status"),
        ("/complete-rollout", {"ClientToken": ""}, "ClientToken"),
        ("/update-reward", {}, "Rewards"),
        ("/update-reward", {"Rewards": 1}, "Rewards"),
        ("/update-reward", {"Rewards": [None]}, "Rewards[0]"),
        ("/update-reward", {"Rewards": [True]}, "Rewards[0]"),
        ("/update-reward", {"Rewards": ["1"]}, "Rewards[0]"),
        ("/update-reward", {"Rewards": [1], "Components": {"answer": "good"}}, "Components.answer"),
        ("/update-reward", {"Rewards": [1e300]}, "Rewards[0]"),
        ("/update-reward", b'{"TrajectoryId": "%s", "Rewards": [NaN]}', "NaN"),
        ("/update-reward", b'{"TrajectoryId": "%s", "Rewards": [1e999]}', "1e999"),
        ("/update-reward", b"[]", "a JSON object"),
        ("/update-reward", b"\xff", "UTF-8"),
    ],
)
def test_a_wrong_report_is_refused_by_the_field_at_fault(path: str, body: Any, field: str) -> None:
    async def run() -> None:
        async with serving() as served:
            session, request = await served.open()
            name = request.trajectory_id
            wrong_id = isinstance(body, dict) and (not body or "TrajectoryId" in body) and path == "/complete-rollout"
            content = body.replace(b"%s", name.encode()) if isinstance(body, bytes) else body
            if isinstance(content, dict) and not wrong_id:
                content = {"TrajectoryId": name, **content}
            answer = await served.post(path, content, request.api_key)
            assert answer.status_code == 400
            assert answer.headers["x-amzn-errortype"] == answer.json()["__type"] == "ValidationException"
            assert field in answer.json()["message"]
            assert session.outcome() is None

    asyncio.run(run())


def test_names_of_job_and_trajectory_must_agree() -> None:
    async def run() -> None:
        async with serving() as served:
            _, mine = await served.open()
            _, other = await served.open()
            report = {"TrajectoryId": mine.trajectory_id}
            for body, key, headers in (
                (report, other.api_key, {}),
                ({**report, "JobArn": f"{JOB_ARN}2"}, mine.api_key, {}),
                (report, mine.api_key, {"X-Amzn-SageMaker-Job-Arn": f"{JOB_ARN}2"}),
                (report, mine.api_key, {"X-Amzn-SageMaker-Trajectory-Id": other.trajectory_id}),
                (report, mine.sampling_key, {}),
                (report, "", {}),
            ):
                answer = await served.post("/complete-rollout", body, key, **headers)
                assert (answer.status_code, answer.json()["__type"]) == (403, "AccessDeniedException")

    asyncio.run(run())


def test_strangers_on_this_machine_may_report_where_the_run_lets_them() -> None:
    async def run() -> None:
        async with serving(accept_unscoped=True) as served:
            session, request = await served.open()
            await served.post(f"/t/{request.trajectory_id}/v1/chat/completions", CHAT)
            report = {"TrajectoryId": request.trajectory_id}
            assert (await served.post("/complete-rollout", report, "whatever")).status_code == 200
            assert (await served.post("/update-reward", {**report, "Rewards": [1]})).status_code == 200
            assert session.outcome() == Rewarded(value=1.0)

    asyncio.run(run())
