"""Messages, tools, actions and observations as JSON.

Messages have OpenAI's chat form, so that a trainer renders them as it renders any conversation; the arguments of a call
are the text that the policy wrote.
"""

import json
from dataclasses import asdict
from typing import Any, Literal, cast

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from turnwright.core.episode import FinishReason
from turnwright.core.message import Message, ToolCall, ToolSpec
from turnwright.core.outcome import Failed, Truncated
from turnwright.launch.export.episode import News
from turnwright.launch.export.errors import ServiceError
from turnwright.launch.export.sessions import Session


class CalledTool(BaseModel):
    """A tool call: ours, or OpenAI's with its ``function`` inside."""

    model_config = ConfigDict(extra="forbid")

    id: str | None = None
    """None = ``call_<turn>_<index>``."""
    name: str
    arguments: str | dict[str, Any] = Field(default_factory=dict)
    """The JSON text that the policy wrote, malformed or not; or an object."""

    @model_validator(mode="before")
    @classmethod
    def _unfold(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("function"), dict):
            return {"id": value.get("id"), **cast("dict[str, Any]", value["function"])}
        return value


class Action(BaseModel):
    """One reply of the policy: text, tool calls, or both. OpenEnv's ``call_tool`` is read as a reply with one call."""

    model_config = ConfigDict(extra="forbid")

    message: str = Field(default="", validation_alias=AliasChoices("message", "content"))
    reasoning: str = ""
    tool_calls: list[CalledTool] = Field(default_factory=list)
    finish_reason: FinishReason = "stop"
    """"length" = the reply was cut at the policy's token limit, which ends the episode."""
    metadata: dict[str, Any] = Field(default_factory=dict)
    """Ignored."""

    @model_validator(mode="before")
    @classmethod
    def _read_call_tool(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        action = {name: one for name, one in cast("dict[str, Any]", value).items() if one is not None}
        if action.get("type") == "call_tool":
            call = {"name": action.get("tool_name"), "arguments": action.get("arguments", {})}
            return {"tool_calls": [call], "metadata": action.get("metadata", {})}
        return {name: one for name, one in action.items() if name != "role"}

    def as_message(self, turn: int) -> Message:
        """Return the reply; ``turn`` counts the replies before it."""
        calls = tuple(
            ToolCall(
                id=f"call_{turn}_{index}" if call.id is None else call.id,
                name=call.name,
                arguments=call.arguments
                if isinstance(call.arguments, str)
                else json.dumps(call.arguments, ensure_ascii=False),
            )
            for index, call in enumerate(self.tool_calls)
        )
        return Message(role="assistant", content=self.message, reasoning=self.reasoning, tool_calls=calls)


class WireMessage(BaseModel):
    """A message in OpenAI's chat form."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    name: str | None = None


class WireTool(BaseModel):
    """What the policy is told about a tool."""

    name: str
    description: str
    input_schema: dict[str, Any]
    """JSON Schema of the arguments."""


class Observation(BaseModel):
    """What follows a reply."""

    messages: list[WireMessage]
    """Messages since the reply."""
    metadata: dict[str, Any]


class FirstObservation(Observation):
    """What an episode begins with."""

    tools: list[WireTool]


class State(BaseModel):
    """Where an episode is; none of it is for the agent."""

    session_id: str
    episode_id: str | None
    step_count: int
    task_id: str | None
    split: str | None
    seed: int | None
    done: bool
    reward: float | None
    """Of an episode that is over; None of one that failed."""
    outcome: dict[str, Any] | None
    """How the episode ended."""


def read_action(action: Any) -> Action:
    """Read an action; raises ServiceError naming what is wrong with it."""
    try:
        return Action.model_validate(action)
    except ValidationError as error:
        raise ServiceError("VALIDATION_ERROR", f"the action is not valid: {problems(error)}") from None


def problems(error: ValidationError) -> str:
    """Return what pydantic found, in one line."""
    return "; ".join(
        f"{'.'.join(map(str, one['loc'])) or 'it'}: {one['msg']}" for one in error.errors(include_url=False)
    )


def message_of(message: Message) -> dict[str, Any]:
    """Return a message as JSON."""
    told: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        told["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.role == "tool":
        told |= {"tool_call_id": message.tool_call_id, "name": message.name}
    return told


def tool_of(spec: ToolSpec) -> dict[str, Any]:
    """Return a tool as JSON."""
    return {"name": spec.name, "description": spec.description, "input_schema": dict(spec.parameters)}


def observation_of(session: Session, news: News) -> dict[str, Any]:
    """Return what follows a reply, or a reset, in the form of OpenEnv's answers."""
    assert session.hosted is not None
    metadata: dict[str, Any] = {"episode_id": session.choice.episode_id, "session_id": session.id}
    observation: dict[str, Any] = {"messages": [message_of(one) for one in news.messages]}
    reward: float | None = None
    if news.episode is None and session.hosted.num_turns == 0:
        task = session.hosted.task
        metadata |= {"task_id": task.id, "split": task.split, "seed": session.choice.seed, "prompt": task.prompt}
        metadata["mcp"] = f"/mcp/{session.id}"
        observation["tools"] = [tool_of(spec) for spec in session.hosted.specs]
    if news.tools:
        metadata["calls"] = [{"name": one.name, "error": one.error, "malformed": one.malformed} for one in news.tools]
    if news.episode is not None and not isinstance(outcome := news.episode.outcome, Failed):
        reward = outcome.value
        metadata |= {"outcome": outcome.kind, "components": dict(outcome.components)}
        if outcome.turn_values:
            metadata["turn_values"] = list(outcome.turn_values)
        if isinstance(outcome, Truncated):
            metadata["cause"] = outcome.cause
    return {
        "observation": {**observation, "metadata": metadata},
        "reward": reward,
        "done": news.episode is not None,
        "metadata": metadata,
    }


def state_of(session: Session) -> dict[str, Any]:
    """Return where a session is."""
    hosted = session.hosted
    outcome = hosted.episode.outcome if hosted and hosted.episode else None
    return {
        "session_id": session.id,
        "episode_id": session.choice.episode_id,
        "step_count": hosted.num_turns if hosted else 0,
        "task_id": hosted.task.id if hosted else None,
        "split": hosted.task.split if hosted else None,
        "seed": session.choice.seed,
        "done": outcome is not None,
        "reward": None if outcome is None or isinstance(outcome, Failed) else outcome.value,
        "outcome": None if outcome is None else asdict(outcome),
    }


def schemas() -> dict[str, Any]:
    """Return the JSON Schemas of actions, observations and states."""
    return {
        "action": Action.model_json_schema(by_alias=False),
        "observation": Observation.model_json_schema(),
        "reset_observation": FirstObservation.model_json_schema(),
        "state": State.model_json_schema(),
    }
