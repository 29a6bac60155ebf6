"""The OpenAPI 3.1 document of every route; served at /openapi.json.

One Operation per route says what goes in, what comes out and in whose error shape refusals come; a server's document
holds those of its own routes. The bodies are in schemas.py.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

from turnwright.gateway.http.metrics import CONTENT_TYPE
from turnwright.gateway.http.schemas import NAME, SCHEMAS, Schema, reference

ErrorShape = Literal["OpenAIError", "AnthropicError", "RuntimeError"]

MOST_WAIT_SECONDS = 60
"""Longest that a worker may wait for a rollout in one request."""

_SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "Token of a rollout request (metadata.api_key), or a SageMaker bearer of the run's key pair",
    },
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The same token"},
    "awsSessionToken": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Amz-Security-Token",
        "description": "The same token, as session token of an AWS client",
    },
}

_REFUSALS = {
    "400": "The request is wrong; the message names the field, what it held and what was expected",
    "402": "A quota of the trajectory is used up",
    "403": "The credentials are unknown, expired, or for another trajectory or purpose",
    "404": "No such trajectory",
    "409": "The trajectory's state does not allow it; repeating the call does not help",
    "413": "The body is larger than the gateway takes",
    "429": "Too many calls; Retry-After says when to call again",
    "500": "The gateway failed",
}

_TRAJECTORY_PARAMETER = {
    "name": "trajectory_id",
    "in": "path",
    "required": True,
    "description": "The trajectory that the call belongs to",
    "schema": {"type": "string", "minLength": 1, "maxLength": 256},
}


def _identity_header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": NAME}


def _query(name: str, schema: Schema, description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


_WORKER = _query("worker", {"type": "string", "minLength": 1, "maxLength": 256}, "The worker's name for itself")

_IDENTITY = (
    _identity_header("X-Amzn-SageMaker-Job-Arn", "Must be this run's, where it is given"),
    _identity_header("X-Amzn-SageMaker-Trajectory-Id", "Must agree with the path, the body and the token"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One route as the document tells it."""

    method: Literal["get", "post"]
    path: str
    summary: str
    request: str | None = None
    """Name of the body's schema; None = no body."""
    reply: str | None = None
    """Name of the schema of a 200."""
    streams: bool = False
    """The reply may come as server-sent events."""
    text: str | None = None
    """Media type of a reply that is text."""
    may_be_empty: bool = False
    """It can answer 204."""
    unhealthy: str | None = None
    """Name of the schema of a 503."""
    errors: ErrorShape = "RuntimeError"
    refusals: tuple[str, ...] = ()
    """Statuses of ``_REFUSALS`` that it can answer."""
    parameters: tuple[Mapping[str, Any], ...] = ()
    secured: bool = True

    def document(self) -> dict[str, Any]:
        """Return the operation object."""
        operation: dict[str, Any] = {
            "summary": self.summary,
            "parameters": [*self._path_parameters(), *self.parameters],
            "responses": dict(self._responses()),
            "security": [{"bearer": []}, {"apiKey": []}, {"awsSessionToken": []}] if self.secured else [],
        }
        if self.request is not None:
            content = {"application/json": {"schema": reference(self.request)}}
            operation["requestBody"] = {"required": True, "content": content}
        return operation

    def _path_parameters(self) -> list[Mapping[str, Any]]:
        return [_TRAJECTORY_PARAMETER] if "{trajectory_id}" in self.path else []

    def _responses(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        content: dict[str, Any] = {}
        if self.reply is not None:
            content["application/json"] = {"schema": reference(self.reply)}
        if self.streams:
            # A schema would be of one event in some tools and of the whole text in others.
            content["text/event-stream"] = {}
        if self.text is not None:
            content[self.text] = {"schema": {"type": "string"}}
        yield "200", {"description": "Done", "content": content}
        if self.may_be_empty:
            yield "204", {"description": "Nothing to do"}
        error = {"application/json": {"schema": reference(self.errors)}}
        for status in self.refusals:
            yield status, {"description": _REFUSALS[status], "content": error}
        if self.unhealthy is not None:
            unhealthy = {"application/json": {"schema": reference(self.unhealthy)}}
            yield "503", {"description": "It cannot serve calls", "content": unhealthy}


_CALL_REFUSALS = tuple(_REFUSALS)
_REPORT_REFUSALS = ("400", "403", "404", "409", "413", "429", "500")


def _calls() -> Iterator[Operation]:
    """Yield the operations that ask the policy, with the identity in headers and in the path."""
    dialects: tuple[tuple[str, str, str, str, ErrorShape], ...] = (
        ("/v1/chat/completions", "OpenAI chat completions", "ChatRequest", "ChatReply", "OpenAIError"),
        ("/v1/responses", "OpenAI responses", "ResponsesRequest", "ResponsesReply", "OpenAIError"),
        ("/v1/messages", "Anthropic messages", "MessagesRequest", "MessagesReply", "AnthropicError"),
    )
    for prefix in ("", "/t/{trajectory_id}"):
        for path, summary, request, reply, errors in dialects:
            yield Operation(
                method="post",
                path=prefix + path,
                summary=f"Ask the policy: {summary}",
                request=request,
                reply=reply,
                streams=True,
                errors=errors,
                refusals=_CALL_REFUSALS,
                parameters=_IDENTITY,
            )
        yield Operation(
            method="post",
            path=f"{prefix}/v1/messages/count_tokens",
            summary="Count the tokens of a prompt with the run's tokenizer",
            request="CountTokensRequest",
            reply="CountTokensReply",
            errors="AnthropicError",
            refusals=_CALL_REFUSALS,
            parameters=_IDENTITY,
        )
        yield Operation(
            method="get",
            path=f"{prefix}/v1/models",
            summary="The alias 'default' and the base model",
            reply="Models",
            secured=False,
        )


def _numbers() -> Iterator[Operation]:
    """Yield what says how the server is."""
    yield Operation(method="get", path="/health", summary="Liveness", reply="Health", unhealthy="Health", secured=False)
    yield Operation(method="get", path="/ping", summary="Contract probe of AgentCore", reply="Ping", secured=False)
    yield Operation(method="get", path="/metrics", summary="Numbers for Prometheus", text=CONTENT_TYPE, secured=False)
    yield Operation(method="get", path="/openapi.json", summary="This document", reply="Document", secured=False)


def _runtime() -> Iterator[Operation]:
    """Yield the SageMaker job runtime."""
    for path, reply in (("/sample", "ChatReply"), ("/sample-with-response-stream", None)):
        yield Operation(
            method="post",
            path=path,
            summary="Ask the policy in the OpenAI chat dialect, as boto3's sagemakerjobruntime does",
            request="ChatRequest",
            reply=reply,
            streams=True,
            errors="OpenAIError",
            refusals=_CALL_REFUSALS,
            parameters=_IDENTITY,
        )
    for path, request, summary in (
        ("/complete-rollout", "CompleteRollout", "Seal a trajectory: no more turns"),
        ("/update-reward", "UpdateReward", "Reward a trajectory: one value, or one per turn"),
    ):
        yield Operation(
            method="post",
            path=path,
            summary=summary,
            request=request,
            reply="Done",
            refusals=_REPORT_REFUSALS,
            parameters=_IDENTITY,
        )


def _queue() -> Iterator[Operation]:
    """Yield what a worker of the pull queue calls."""
    yield Operation(
        method="get",
        path="/rollouts/next",
        summary="Lease the next rollout; 204 when there is none in time",
        reply="RolloutRequest",
        may_be_empty=True,
        refusals=("400", "403", "500"),
        parameters=(
            _query("wait", {"type": "number", "minimum": 0, "maximum": MOST_WAIT_SECONDS}, "Seconds to wait for one"),
            _WORKER,
        ),
    )
    yield Operation(
        method="post",
        path="/rollouts/{trajectory_id}/heartbeat",
        summary="Renew a lease; 409 when it is lost and work on the rollout must stop",
        reply="Lease",
        refusals=("400", "403", "409", "500"),
        parameters=(_WORKER,),
    )


def _control() -> Iterator[Operation]:
    """Yield what opens and shows trajectories."""
    yield Operation(
        method="post",
        path="/control/rollouts",
        summary="Open a trajectory for a task",
        request="Task",
        reply="RolloutRequest",
        refusals=_REPORT_REFUSALS,
    )
    yield Operation(
        method="get",
        path="/control/rollouts/{trajectory_id}",
        summary="What was recorded of a trajectory",
        reply="RecordedTrajectory",
        refusals=("403", "404", "409", "500"),
    )


OPERATIONS: tuple[Operation, ...] = (*_calls(), *_numbers(), *_runtime(), *_queue(), *_control())
"""Every operation that a server may have."""


def document(paths: Collection[str]) -> dict[str, Any]:
    """Return the document of a server that has these paths."""
    operations: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        if operation.path in paths:
            operations[operation.path] = {operation.method: operation.document()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Turnwright gateway",
            "version": version("turnwright"),
            "description": "Where agents ask the policy and say how their rollouts went.",
        },
        "paths": operations,
        "components": {"schemas": dict(SCHEMAS), "securitySchemes": _SECURITY_SCHEMES},
    }
