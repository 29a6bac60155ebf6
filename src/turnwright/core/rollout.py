"""Rollout request: what an agent outside this process is told when it is asked to attempt a task."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRequest:
    """One attempt, as its agent is asked for it.

    Example::

        RolloutRequest(prompt="order: O3", job_arn="arn:aws:sagemaker:local:000000000000:job/AgentRFT/demo",
                       trajectory_id="t-5f2c", endpoint="http://127.0.0.1:8321", api_key="tw1...",
                       sampling_key="tw1...", temperature=1.0, top_p=1.0, max_tokens=256).payload()
    """

    prompt: str
    """The task's prompt, verbatim."""
    instance: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The prompt and the task's public columns; never its ground truth."""
    job_arn: str
    trajectory_id: str
    endpoint: str
    """Base URL of the gateway; OpenAI clients append /v1."""
    region: str = "local"
    api_key: str
    """Token that may sample, complete and reward this trajectory."""
    sampling_key: str
    """Token that may only sample: for a program that must not be able to reward itself."""
    temperature: float
    top_p: float
    max_tokens: int
    """Most tokens of one reply."""

    def payload(self) -> dict[str, Any]:
        """Return the JSON an agent receives, in all three spellings in use.

        The service's guide, its SDK's models and its notebook disagree; an agent written against any of them works.
        """
        return {
            "prompt": self.prompt,
            "instance": {"prompt": self.prompt, **self.instance},
            "metadata": {
                "job_arn": self.job_arn,
                "jobArn": self.job_arn,
                "trajectory_id": self.trajectory_id,
                "trajectoryId": self.trajectory_id,
                "rolloutId": self.trajectory_id,
                "endpoint": self.endpoint,
                "region": self.region,
                "api_key": self.api_key,
                "sampling_key": self.sampling_key,
            },
            "inferenceParams": {"temperature": self.temperature, "topP": self.top_p, "maxTokens": self.max_tokens},
            "inference_params": {"temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.max_tokens},
        }
