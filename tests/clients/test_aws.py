"""AWS's clients as they are: boto3's sagemakerjobruntime, and sagemaker.train.rft with its adapters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from clients.conftest import PROGRAMS, Play, RunClient
from clients.exactness import in_tokens
from clients.serving import PLAIN, Serving
from turnwright.core.outcome import Rewarded

pytestmark = pytest.mark.clients

STRANGER = {"AWS_ACCESS_KEY_ID": "AKIASOMEBODYELSE", "AWS_SECRET_ACCESS_KEY": "unknown", "AWS_REGION": "us-east-1"}


@pytest.fixture
def key_pair(served: Serving, tmp_path: Path):
    """Return a function of a rollout request: the variables that ``turnwright gateway --aws-env`` prints."""
    # Without these files the home folder's own would be read.
    files = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "keys")}

    def environment(request: Mapping[str, Any], gateway: str = "scoped") -> dict[str, str]:
        opened = served.gateways[gateway]
        return {**opened.credentials.aws_environment(opened.url), **files}

    return environment


@pytest.fixture
def reference(served: Serving):
    return in_tokens(served.in_process(PLAIN).trajectory)


def test_boto3_samples_completes_and_rewards(play: Play, key_pair, reference):
    assert in_tokens(play("boto3_runtime", environment=key_pair).recorded.trajectory) == reference


def test_boto3_streams_with_the_rollouts_own_token(play: Play, reference):
    assert in_tokens(play("boto3_streaming").recorded.trajectory) == reference


def test_boto3_raises_its_own_exceptions_with_the_gateways_words(served: Serving, run_client: RunClient, key_pair):
    session = served.open(PLAIN, "slow")
    request = served.request_for(session, "slow")
    try:
        ran = run_client(
            PROGRAMS / "boto3_errors.py",
            stdin={"request": request, "world": served.world(PLAIN)},
            environment=key_pair(request, "slow"),
        )
        recorded = served.take(session, "slow")
    finally:
        served.run(session.abort("interrupted", "the test is over"))
    raised = ran.printed
    assert {case: name for case, (name, _) in raised.items()} == {
        "unrecorded field": "ValidationException",
        "not JSON": "ValidationException",
        "NaN": "ValidationException",
        "wrong key": "AccessDeniedException",
        "another job": "AccessDeniedException",
        "no such trajectory": "ResourceNotFoundException",
        "too fast": "ThrottlingException",
        "sealed twice": "ConflictException",
        "sampled after the seal": "ConflictException",
        "stream after the seal": "ConflictException",
        "rewarded twice": "ConflictException",
    }
    assert all(words for _, words in raised.values())
    for case in ("sealed twice", "sampled after the seal", "stream after the seal", "rewarded twice"):
        assert "Cannot transition trajectory" in raised[case][1]
    assert recorded.state == "rewarded"
    assert len(recorded.trajectory.turns) == 1


SAGEMAKER = ["sagemaker_decorator", "sagemaker_feedback", "sagemaker_langchain", "sagemaker_strands"]


@pytest.mark.parametrize("program", SAGEMAKER)
def test_an_unmodified_sagemaker_agent_signs_with_the_runs_key_pair(play: Play, key_pair, reference, program: str):
    played = play(program, environment=key_pair)
    assert in_tokens(played.recorded.trajectory) == reference


@pytest.mark.parametrize("program", SAGEMAKER)
def test_an_unmodified_sagemaker_agent_with_keys_of_its_own_is_let_in_where_the_run_allows_it(
    play: Play, reference, program: str
):
    played = play(program, gateway="unscoped", environment=lambda request: STRANGER)
    assert in_tokens(played.recorded.trajectory) == reference


@pytest.mark.parametrize("program", SAGEMAKER)
def test_an_unmodified_sagemaker_agent_finds_the_gateway_by_its_variable(play: Play, key_pair, reference, program: str):
    played = play(program, environment=key_pair, without=("endpoint", "api_key"))
    assert in_tokens(played.recorded.trajectory) == reference


def test_one_reward_per_turn(play: Play, key_pair):
    outcome = play("sagemaker_feedback", environment=key_pair).recorded.outcome
    assert outcome == Rewarded(value=1.0, turn_values=(0.25, 0.25, 0.25, 0.25))


def test_the_decorator_hides_that_its_report_was_refused(served: Serving, run_client: RunClient):
    session = served.open(PLAIN)
    try:
        ran = run_client(
            PROGRAMS / "sagemaker_refused.py",
            stdin={"request": served.request_for(session), "world": served.world(PLAIN)},
            environment=STRANGER,
        )
        assert len(ran.printed) == session.num_calls == 1
        assert session.state == "open"
        assert "403" in ran.err
    finally:
        served.run(session.abort("no_reward", "the test is over"))
