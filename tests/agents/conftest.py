"""What the tests of launchers share."""

from collections.abc import Callable
from typing import Any

import pytest

from turnwright.core.rollout import RolloutRequest


@pytest.fixture(scope="session")
def rollout() -> Callable[..., RolloutRequest]:
    """Makes a rollout request; fields can be replaced."""

    def make(**changes: Any) -> RolloutRequest:
        fields: dict[str, Any] = {
            "prompt": "order: O3",
            "instance": {"city": "Oslo"},
            "job_arn": "arn:aws:sagemaker:local:000000000000:job/AgentRFT/demo",
            "trajectory_id": "t-5f2c",
            "endpoint": "http://127.0.0.1:8321",
            "api_key": "tw1.all",
            "sampling_key": "tw1.sample",
            "temperature": 0.5,
            "top_p": 0.9,
            "max_tokens": 64,
        }
        return RolloutRequest(**{**fields, **changes})

    return make
