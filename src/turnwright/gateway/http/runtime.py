"""The SageMaker job runtime beside sampling: POST /complete-rollout and /update-reward.

body --Runtime--> trajectory's state; the answer is an empty object. Job and trajectory may be named in header, body
and token, and must agree. /sample and /sample-with-response-stream are the OpenAI chat dialect on other paths, with
raw bodies, as the service model of boto3's ``sagemakerjobruntime`` has them.
"""

from collections.abc import Mapping
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse

from turnwright.gateway.dialects.base import ReadCall
from turnwright.gateway.dialects.fields import Fields, describe
from turnwright.gateway.dialects.openai_chat import OpenAIChat
from turnwright.gateway.gateway import Gateway
from turnwright.gateway.http.body import parse_object, read_body
from turnwright.gateway.http.endpoint import caller_of
from turnwright.gateway.refusals import Refusal
from turnwright.gateway.session import Session
from turnwright.rundir.gateway_records import SealStatus

_LONGEST_ID = 256
"""Of trajectory ids and client tokens, after the service model."""

_LARGEST = 1.7976931348623157e308


class StreamedChat(OpenAIChat):
    """The chat dialect of /sample-with-response-stream, which streams whatever its body says."""

    def read(self, body: Mapping[str, object], headers: Mapping[str, str]) -> ReadCall:
        """Read a request."""
        return replace(super().read(body, headers), stream=True)


class Runtime:
    """Endpoints by which an agent says how its rollout went."""

    def __init__(self, gateway: Gateway, *, max_body_bytes: int) -> None:
        """Serve the trajectories of a gateway.

        Args:
            gateway: Knows who may say it, and of which trajectory.
            max_body_bytes: Longer bodies are refused.
        """
        self._gateway = gateway
        self._max_body_bytes = max_body_bytes

    async def complete_rollout(self, request: Request) -> JSONResponse:
        """Seal a trajectory."""
        session, fields = await self._reporting(request)
        await session.complete(_status(fields), _client_token(fields), fields.text("Detail") or "")
        return JSONResponse({})

    async def update_reward(self, request: Request) -> JSONResponse:
        """Reward a trajectory, as a whole or turn by turn."""
        session, fields = await self._reporting(request)
        await session.reward(_rewards(fields), _client_token(fields), _components(fields))
        return JSONResponse({})

    async def _reporting(self, request: Request) -> tuple[Session, Fields]:
        """Read a report's body and find the trajectory that it is about."""
        body = await read_body(request, self._max_body_bytes)
        fields = Fields(parse_object(body))
        trajectory_id = fields.required_text("TrajectoryId")
        if len(trajectory_id) > _LONGEST_ID:
            raise fields.refuse("TrajectoryId", f"a string of at most {_LONGEST_ID} characters")
        session = self._gateway.authorize(caller_of(request, body), "reward", trajectory_id)
        job_arn = fields.text("JobArn")
        if job_arn is not None and job_arn != self._gateway.job_arn:
            raise Refusal(
                "access_denied",
                f"JobArn must be this run's, {self._gateway.job_arn!r}: got {describe(job_arn)}; use the metadata of "
                "the rollout request",
                field="JobArn",
            )
        return session, fields


def _status(fields: Fields) -> SealStatus:
    match fields.get("Status"):
        case None | "ready":
            return "ready"
        case "failed":
            return "failed"
        case _:
            raise fields.refuse("Status", "'ready' or 'failed'")


def _client_token(fields: Fields) -> str | None:
    token = fields.text("ClientToken")
    if token is not None and not 1 <= len(token) <= _LONGEST_ID:
        raise fields.refuse("ClientToken", f"a string of 1 to {_LONGEST_ID} characters")
    return token


def _rewards(fields: Fields) -> tuple[float, ...]:
    entries = fields.entries("Rewards")
    if not entries:
        raise fields.refuse("Rewards", "a list of numbers: one for the trajectory, or one per turn")
    listed = Fields({f"Rewards[{turn}]": value for turn, value in enumerate(entries)})
    return tuple(_number(listed, name) for name in listed.value)


def _components(fields: Fields) -> Mapping[str, float]:
    components = fields.nested("Components")
    return {} if components is None else {name: _number(components, name) for name in components.value}


def _number(fields: Fields, name: str) -> float:
    value = fields.number(name, -_LARGEST, _LARGEST)
    if value is None:
        raise fields.refuse(name, "a number")
    return value
