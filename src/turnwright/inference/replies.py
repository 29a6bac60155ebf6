"""Scripted replies from a file: what the policy says when there is no policy, so that anyone can test an agent.

    replies.jsonl --load_replies--> ScriptedReply ... --reply_script--> Script of a ScriptedEngine

One object per line: {"content"?: text, "reasoning"?: text, "tool_calls"?: [{"name": text, "arguments"?: object or
text}], "prompt"?: text}. The n-th call of an episode gets the n-th row of those whose ``prompt`` occurs in what the
episode began with (rows without one are for every episode); when the rows run out, the last one is repeated.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import DatasetError, EngineStoppedError
from turnwright.core.message import Message, ToolCall
from turnwright.inference.base import GenerationRequest
from turnwright.inference.scripted import Script

MOST_EPISODES = 65536
"""Episodes whose rows are remembered; one that is forgotten finds its rows by its latest prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedReply:
    """One row of a replies file."""

    message: Message
    prompt: str = ""
    """Text that an episode must begin with somewhere in its prompt to get this reply; empty = every episode."""


def load_replies(path: Path) -> list[ScriptedReply]:
    """Read a replies file; empty lines are skipped.

    Raises:
        DatasetError: The file is missing or empty, or a row is not a reply; names file, line and field.
    """
    if not path.is_file():
        raise DatasetError(
            f"there is no file {path.resolve()} with scripted replies: expected one JSON object per line"
        )
    # Split as bytes: in text, characters that JSON allows inside strings would end a line.
    lines = enumerate(path.read_bytes().splitlines(), start=1)
    replies = [_read_row(line, f"{path}, line {number}") for number, line in lines if line.strip()]
    if not replies:
        raise DatasetError(f'{path} holds no reply: expected at least one line such as {{"content": "done"}}')
    return replies


def reply_script(
    replies: Sequence[ScriptedReply], render: Callable[[Message], str], decode: Callable[[Sequence[int]], str]
) -> Script:
    """Return a script that answers with the rows of a replies file.

    Args:
        replies: At least one.
        render: Spells a message as the policy would sample it, without the stop token.
        decode: Gives the text of a prompt, in which the rows' ``prompt`` is looked for.

    Returns:
        A script; it raises EngineStoppedError for an episode whose prompt no row is meant for.
    """
    texts = [(reply.prompt, render(reply.message)) for reply in replies]
    rows_by_episode: dict[EpisodeKey, list[str]] = {}

    def script(request: GenerationRequest) -> str:
        # What an episode began with decides: later prompts quote tools and replies, which may mention anything.
        rows = rows_by_episode.get(request.key) if request.turn else None
        if rows is None:
            prompt = decode(request.prompt_token_ids)
            rows = [text for wanted, text in texts if wanted in prompt]
            rows_by_episode[request.key] = rows
            if len(rows_by_episode) > MOST_EPISODES:
                del rows_by_episode[next(iter(rows_by_episode))]
        if not rows:
            raise EngineStoppedError(
                f"no scripted reply is meant for episode {str(request.key)!r}: its prompt contains none of "
                f"{sorted({wanted for wanted, _ in texts})}; add a row without 'prompt'"
            )
        return rows[min(request.turn, len(rows) - 1)]

    return script


def _arguments_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, or the text a policy would write, got {value!r}")
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _CallRow(_Strict):
    name: str = Field(min_length=1)
    arguments: Annotated[str, BeforeValidator(_arguments_text)] = "{}"


class _Row(_Strict):
    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[_CallRow, ...] = ()
    prompt: str = ""

    @model_validator(mode="after")
    def _says_something(self) -> "_Row":
        if not self.model_fields_set & {"content", "reasoning", "tool_calls"}:
            raise ValueError("expected 'content', 'reasoning' or 'tool_calls', got none of them")
        return self


def _read_row(line: bytes, where: str) -> ScriptedReply:
    try:
        row = _Row.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the row"
        raise DatasetError(
            f"{where}: {field} is wrong: {first['msg']}; a row is an object with content, reasoning, tool_calls "
            "(name, arguments) and prompt, each optional"
        ) from error
    calls = tuple(
        ToolCall(id=f"call_{number}", name=call.name, arguments=call.arguments)
        for number, call in enumerate(row.tool_calls)
    )
    message = Message(role="assistant", content=row.content, reasoning=row.reasoning, tool_calls=calls)
    return ScriptedReply(message=message, prompt=row.prompt)
