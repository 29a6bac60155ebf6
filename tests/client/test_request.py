import json
from collections.abc import Callable
from typing import Any

import pytest

from turnwright.client import Rollout, RolloutRequestError
from turnwright.core.rollout import RolloutRequest

JOB_ARN = "arn:aws:sagemaker:local:000000000000:job/AgentRFT/demo"
REQUEST = RolloutRequest(
    prompt="order: O3",
    instance={"difficulty": 2},
    job_arn=JOB_ARN,
    trajectory_id="t-5f2c",
    endpoint="http://127.0.0.1:8321",
    api_key="tw1.secret",
    sampling_key="tw1.sampling",
    temperature=0.7,
    top_p=0.9,
    max_tokens=256,
)


def test_reads_what_the_gateway_sends() -> None:
    rollout = Rollout.from_payload(REQUEST.payload())
    assert rollout.prompt == "order: O3"
    assert rollout.instance == {"prompt": "order: O3", "difficulty": 2}
    assert (rollout.job_arn, rollout.trajectory_id, rollout.region) == (JOB_ARN, "t-5f2c", "local")
    assert (rollout.api_key, rollout.sampling_key) == ("tw1.secret", "tw1.sampling")
    assert rollout.sampling == {"temperature": 0.7, "top_p": 0.9, "max_tokens": 256}
    assert rollout.payload == REQUEST.payload()


GUIDE = {
    "prompt": "order: O3",
    "metadata": {"jobArn": JOB_ARN, "rolloutId": "t-5f2c", "endpoint": "http://gw:1/", "api_key": "k"},
    "inferenceParams": {"temperature": 1, "topP": 0.5, "maxTokens": 8},
}
SDK = {
    "instance": {"prompt": "order: O3"},
    "metadata": {"job_arn": JOB_ARN, "trajectory_id": "t-5f2c", "endpoint": "http://gw:1", "api_key": "k"},
    "inference_params": {"temperature": 1, "top_p": 0.5, "max_tokens": 8},
}
MIXED = {
    "prompt": "order: O3",
    "metadata": {
        "job_arn": None,
        "jobArn": JOB_ARN,
        "trajectoryId": "t-5f2c",
        "endpoint": "http://gw:1",
        "api_key": "k",
    },
    "inference_params": {"temperature": 1, "topP": 0.5, "maxTokens": 8.0},
}


@pytest.mark.parametrize("payload", [GUIDE, SDK, MIXED], ids=["guide", "sdk", "mixed"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda request: request,
        json.dumps,
        lambda request: json.dumps(request).encode(),
        lambda request: {"body": json.dumps(request), "headers": {}},
        lambda request: {"body": request},
    ],
    ids=["object", "text", "bytes", "event with text", "event with object"],
)
def test_all_spellings_and_wrappings_say_the_same(payload: dict[str, Any], wrap: Callable[[Any], Any]) -> None:
    rollout = Rollout.from_payload(wrap(payload))
    assert (rollout.prompt, rollout.job_arn, rollout.trajectory_id) == ("order: O3", JOB_ARN, "t-5f2c")
    assert rollout.sampling == {"temperature": 1.0, "top_p": 0.5, "max_tokens": 8}
    assert isinstance(rollout.max_tokens, int)
    assert rollout.sampling_key == "k"
    assert rollout.openai_base_url == "http://gw:1/v1"
    assert rollout.anthropic_base_url == "http://gw:1"
    assert rollout.headers() == {
        "Authorization": "Bearer k",
        "X-Amzn-SageMaker-Job-Arn": JOB_ARN,
        "X-Amzn-SageMaker-Trajectory-Id": "t-5f2c",
    }


def test_sampling_that_is_not_said_is_left_to_the_gateway() -> None:
    rollout = Rollout.from_payload({"prompt": "", "metadata": GUIDE["metadata"]})
    assert rollout.sampling == {}
    assert rollout.prompt == ""


def test_the_endpoint_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = {key: value for key, value in GUIDE["metadata"].items() if key != "endpoint"}
    with pytest.raises(RolloutRequestError, match=r"lacks 'metadata\.endpoint' and RFT_RUNTIME_ENDPOINT is not set"):
        Rollout.from_payload({**GUIDE, "metadata": metadata})
    monkeypatch.setenv("RFT_RUNTIME_ENDPOINT", "http://env:2/")
    assert Rollout.from_payload({**GUIDE, "metadata": metadata}).endpoint == "http://env:2"
    assert Rollout.from_payload(GUIDE).endpoint == "http://gw:1"


def without(key: str) -> dict[str, Any]:
    return {**GUIDE, "metadata": {name: value for name, value in GUIDE["metadata"].items() if name != key}}


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ("{", "the rollout request is not JSON"),
        ([], "the rollout request must be a JSON object, got list"),
        ({"body": "[1]"}, "'body' of the event must be a JSON object, got list"),
        ({"prompt": "a", "id": 1}, "lacks 'metadata'; it has: id, prompt"),
        ({}, "lacks 'metadata'; it has: nothing"),
        ({**GUIDE, "metadata": "m"}, "'metadata' of the rollout request must be an object, got str"),
        (without("jobArn"), r"lacks 'metadata\.job_arn' or 'metadata\.jobArn'"),
        (without("rolloutId"), r"lacks 'metadata\.trajectory_id' or 'metadata\.trajectoryId' or 'metadata\.rolloutId'"),
        (without("api_key"), r"lacks 'metadata\.api_key'"),
        ({**GUIDE, "metadata": {**GUIDE["metadata"], "jobArn": 7}}, r"'metadata\.jobArn' must be text .* got 7"),
        ({**GUIDE, "metadata": {**GUIDE["metadata"], "endpoint": "gw:1"}}, "must be an http:// or https:// URL"),
        ({**GUIDE, "prompt": None}, r"must have 'prompt' or 'instance\.prompt', got neither"),
        ({**GUIDE, "prompt": ["a"]}, "got list instead of text"),
        ({**GUIDE, "inferenceParams": 3}, "'inferenceParams' of the rollout request must be an object, got int"),
        ({**GUIDE, "inferenceParams": {"topP": "0.5"}}, "'topP' of the inference parameters must be a finite number"),
        ({**GUIDE, "inferenceParams": {"temperature": True}}, "'temperature' .* got True"),
        ({**GUIDE, "inferenceParams": {"maxTokens": 1.5}}, "'maxTokens' .* must be a whole number from 1, got 1.5"),
    ],
)
def test_errors_name_the_key(payload: Any, message: str) -> None:
    with pytest.raises(RolloutRequestError, match=message):
        Rollout.from_payload(payload)


def test_tokens_are_not_shown() -> None:
    assert "tw1." not in repr(Rollout.from_payload(REQUEST.payload()))
