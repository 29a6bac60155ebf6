"""Rollout requests: the JSON an agent receives -> Rollout, whichever spelling its keys have.

The service's guide, its SDK's models and its notebook name the same things differently; all three are read here, and
so are the events of a Lambda function behind HTTP, which carry the request as text in ``body``.
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from turnwright.client.errors import RolloutRequestError

_JOB_ARN = ("job_arn", "jobArn")
_TRAJECTORY_ID = ("trajectory_id", "trajectoryId", "rolloutId")
_SAMPLING = ("inference_params", "inferenceParams")
_MAX_TOKENS = ("max_tokens", "maxTokens")
_TOP_P = ("top_p", "topP")
_ENDPOINT_VARIABLE = "RFT_RUNTIME_ENDPOINT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One attempt at a task: what to do, and how to reach the policy and report.

    It never changes, so it may be handed to any thread. Everything made from it keeps its identity.

    Example::

        rollout = Rollout.from_payload(payload)
        openai.OpenAI(base_url=rollout.openai_base_url, api_key=rollout.api_key, default_headers=rollout.headers())
    """

    prompt: str
    """The task's prompt, verbatim."""
    instance: Mapping[str, Any]
    """The prompt and the task's public columns."""
    job_arn: str
    trajectory_id: str
    endpoint: str
    """Base URL of the gateway, without a slash at its end."""
    api_key: str = field(repr=False)
    """Token that may sample, complete and reward this trajectory."""
    sampling_key: str = field(repr=False)
    """Token for a program that must not be able to reward itself; ``api_key`` when the request has none."""
    region: str = "local"
    temperature: float | None = None
    """None = the request does not say; the gateway then applies the run's."""
    top_p: float | None = None
    max_tokens: int | None = None
    """Most tokens of one reply."""
    payload: Mapping[str, Any] = field(repr=False, compare=False)
    """The request as it came, unwrapped."""

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any] | str | bytes) -> Self:
        """Read a rollout request.

        Args:
            payload: The JSON object, its text, or an event with either of them in ``body``. ``metadata.endpoint`` may
                be absent when the environment variable ``RFT_RUNTIME_ENDPOINT`` is set.

        Raises:
            RolloutRequestError: A key is missing or its value is of the wrong kind; the message names it.
        """
        request = _unwrapped(payload)
        metadata = _object(request, ("metadata",))
        sampling = _object(request, _SAMPLING, optional=True)
        instance = _object(request, ("instance",), optional=True)
        api_key = _text(metadata, ("api_key",), "metadata")
        return cls(
            prompt=_prompt(request, instance),
            instance=instance,
            job_arn=_text(metadata, _JOB_ARN, "metadata"),
            trajectory_id=_text(metadata, _TRAJECTORY_ID, "metadata"),
            endpoint=_endpoint(metadata),
            api_key=api_key,
            sampling_key=_text(metadata, ("sampling_key",), "metadata", default=api_key),
            region=_text(metadata, ("region",), "metadata", default="local"),
            temperature=_number(sampling, ("temperature",)),
            top_p=_number(sampling, _TOP_P),
            max_tokens=_whole_number(sampling, _MAX_TOKENS),
            payload=request,
        )

    @property
    def openai_base_url(self) -> str:
        """Base URL for OpenAI clients."""
        return f"{self.endpoint}/v1"

    @property
    def anthropic_base_url(self) -> str:
        """Base URL for Anthropic clients, which append /v1/messages themselves."""
        return self.endpoint

    @property
    def sampling(self) -> dict[str, Any]:
        """What the request says of temperature, top_p and max_tokens, as keyword arguments of a chat completion."""
        asked = {"temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.max_tokens}
        return {name: value for name, value in asked.items() if value is not None}

    def headers(self) -> dict[str, str]:
        """Return the headers that tell the gateway which trajectory a call belongs to, and that it may be made."""
        return {
            "Authorization": f"Bearer {self.api_key}",
            "X-Amzn-SageMaker-Job-Arn": self.job_arn,
            "X-Amzn-SageMaker-Trajectory-Id": self.trajectory_id,
        }


def _unwrapped(payload: object) -> Mapping[str, Any]:
    """Return the request inside text and ``body``."""
    request = _parsed(payload, "the rollout request")
    if "metadata" not in request and "body" in request:
        return _parsed(request["body"], "'body' of the event")
    return request


def _parsed(value: object, what: str) -> Mapping[str, Any]:
    if isinstance(value, str | bytes):
        try:
            value = json.loads(value)
        except ValueError as broken:
            raise RolloutRequestError(f"{what} is not JSON: {broken}") from broken
    if not isinstance(value, Mapping):
        raise RolloutRequestError(f"{what} must be a JSON object, got {type(value).__name__}")
    return value


def _find(holder: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, Any]:
    """Return the first of the names that has a value, with it; the value is None when none has."""
    return next(((name, holder[name]) for name in names if holder.get(name) is not None), (names[0], None))


def _object(request: Mapping[str, Any], names: tuple[str, ...], *, optional: bool = False) -> Mapping[str, Any]:
    name, value = _find(request, names)
    if value is None:
        if optional:
            return {}
        raise RolloutRequestError(f"rollout request lacks '{name}'; it has: {', '.join(sorted(request)) or 'nothing'}")
    if not isinstance(value, Mapping):
        raise RolloutRequestError(f"'{name}' of the rollout request must be an object, got {type(value).__name__}")
    return value


def _text(holder: Mapping[str, Any], names: tuple[str, ...], where: str, *, default: str | None = None) -> str:
    name, value = _find(holder, names)
    if value is None and default is not None:
        return default
    if value is None:
        spellings = " or ".join(f"'{where}.{each}'" for each in names)
        raise RolloutRequestError(f"rollout request lacks {spellings}; hand the agent the whole request, as it came")
    if not isinstance(value, str) or not value:
        raise RolloutRequestError(f"'{where}.{name}' must be text that is not empty, got {value!r}")
    return value


def _prompt(request: Mapping[str, Any], instance: Mapping[str, Any]) -> str:
    holder = request if request.get("prompt") is not None else instance
    prompt = holder.get("prompt")
    if not isinstance(prompt, str):
        found = "neither" if prompt is None else f"{type(prompt).__name__} instead of text"
        raise RolloutRequestError(f"rollout request must have 'prompt' or 'instance.prompt', got {found}")
    return prompt


def _endpoint(metadata: Mapping[str, Any]) -> str:
    endpoint = metadata.get("endpoint") or os.environ.get(_ENDPOINT_VARIABLE)
    if not endpoint:
        raise RolloutRequestError(
            f"rollout request lacks 'metadata.endpoint' and {_ENDPOINT_VARIABLE} is not set; set it to the "
            "gateway's URL"
        )
    if not isinstance(endpoint, str) or not endpoint.startswith(("http://", "https://")):
        raise RolloutRequestError(f"endpoint must be an http:// or https:// URL, got {endpoint!r}")
    return endpoint.rstrip("/")


def _number(sampling: Mapping[str, Any], names: tuple[str, ...]) -> float | None:
    name, value = _find(sampling, names)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RolloutRequestError(f"'{name}' of the inference parameters must be a finite number, got {value!r}")
    return float(value)


def _whole_number(sampling: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    value = _number(sampling, names)
    if value is None:
        return None
    if value != int(value) or value < 1:
        name, given = _find(sampling, names)
        raise RolloutRequestError(f"'{name}' of the inference parameters must be a whole number from 1, got {given!r}")
    return int(value)
