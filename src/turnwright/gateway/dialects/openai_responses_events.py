"""Response objects, and the typed events that openai's ``responses.stream`` and openai-agents build them up from.

    created, in_progress
    reasoning, then message: output_item.added, content_part.added, *.delta ..., *.done, content_part.done,
                             output_item.done
    each call:               output_item.added, function_call_arguments.delta, .done, output_item.done
    completed | incomplete | error

Every event has a ``sequence_number``. The last one carries the whole response, equal to that of a call not streamed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from turnwright.core.protocols import ReplyDelta
from turnwright.gateway.calls import Answer
from turnwright.gateway.dialects.openai_request import error_fields, token_logprobs
from turnwright.gateway.dialects.openai_responses_items import (
    ReplyIds,
    message_item,
    output_items,
    reasoning_item,
)
from turnwright.gateway.http.sse import event
from turnwright.gateway.refusals import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseWriter:
    """Writes the response object of one call, at its beginning and at its end."""

    id: str
    ids: ReplyIds
    created: float
    echo: Mapping[str, object]
    wants_logprobs: bool

    def begun(self) -> dict[str, Any]:
        """Return the response before any output."""
        return self._response(status="in_progress", output=[])

    def ended(self, answer: Answer) -> dict[str, Any]:
        """Return the whole response."""
        cut = answer.finish_reason == "length"
        return {
            **self._response(status="incomplete" if cut else "completed", output=self.output(answer)),
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "temperature": answer.used.temperature,
            "top_p": answer.used.top_p,
            "usage": _usage(answer),
        }

    def output(self, answer: Answer) -> list[dict[str, Any]]:
        """Return the output items of a reply; log-probabilities, where asked for, stand at its text."""
        items = output_items(answer.message, self.ids, cut=answer.finish_reason == "length")
        if self.wants_logprobs:
            for item in items:
                if item["type"] == "message":
                    item["content"][0]["logprobs"] = token_logprobs(answer)
        return items

    def _response(self, *, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "response",
            "created_at": int(self.created),
            "status": status,
            "error": None,
            "incomplete_details": None,
            **self.echo,
            "metadata": {},
            "output": output,
            "parallel_tool_calls": True,
            "store": False,
            "text": {"format": {"type": "text"}},
            "truncation": "disabled",
            "usage": None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _TextItem:
    """How an item that is made of text is spelled."""

    event: str
    """Events of its text, less ``.delta`` and ``.done``."""
    spell: Callable[[ReplyIds, str | None], dict[str, Any]]
    """The item with a text, or as it begins."""

    def part(self, ids: ReplyIds, text: str) -> dict[str, Any]:
        """Return the item's one content part."""
        return self.spell(ids, text)["content"][0]


_REASONING = _TextItem(event="response.reasoning_text", spell=reasoning_item)
_MESSAGE = _TextItem(event="response.output_text", spell=message_item)


class ResponseEvents:
    """Implements EventWriter. Each call comes whole, once the reply is on disk."""

    def __init__(self, writer: ResponseWriter) -> None:
        """Start a stream of one response."""
        self._writer = writer
        self._num_events = 0
        self._output_index = -1
        """Place of the item that was begun last."""
        self._open: _TextItem | None = None
        self._text: list[str] = []
        """Text of the open item so far."""

    def start(self) -> list[bytes]:
        """Return the events before any output."""
        begun = self._writer.begun()
        return [self._event("response.created", response=begun), self._event("response.in_progress", response=begun)]

    def delta(self, delta: ReplyDelta) -> list[bytes]:
        """Return the events of a piece of text; reasoning ends where the message begins."""
        if not delta.text:
            return []
        kind = _MESSAGE if delta.kind == "content" else _REASONING
        events: list[bytes] = []
        if self._open is not kind:
            if self._open is not None:
                events.extend(self._end_text(self._open, self._open.spell(self._writer.ids, "".join(self._text))))
            events.extend(self._begin_text(kind))
        self._text.append(delta.text)
        item = kind.spell(self._writer.ids, None)
        # Tokens and pieces of text do not match one to one: log-probabilities come with the whole text.
        logprobs = {"logprobs": []} if kind is _MESSAGE else {}
        events.append(self._text_event(f"{kind.event}.delta", item, delta=delta.text, **logprobs))
        return events

    def finish(self, answer: Answer) -> list[bytes]:
        """Return what closes the open item, then the calls, then the whole response."""
        response = self._writer.ended(answer)
        events: list[bytes] = []
        for item in response["output"][max(0, self._output_index) :]:
            if item["type"] == "function_call":
                events.extend(self._call(item))
                continue
            kind = _MESSAGE if item["type"] == "message" else _REASONING
            if self._open is None:
                events.extend(self._begin_text(kind))
            events.extend(self._end_text(kind, item))
        return [*events, self._event(f"response.{response['status']}", response=response)]

    def refuse(self, refusal: Refusal) -> list[bytes]:
        """Return the event that OpenAI's clients raise as an APIError."""
        error = error_fields(refusal)
        return [self._event("error", error=error, code=error["code"], message=error["message"], param=error["param"])]

    def _begin_text(self, kind: _TextItem) -> list[bytes]:
        self._output_index += 1
        self._open, self._text = kind, []
        ids = self._writer.ids
        item = kind.spell(ids, None)
        return [
            self._item_event("response.output_item.added", item),
            self._text_event("response.content_part.added", item, part=kind.part(ids, "")),
        ]

    def _end_text(self, kind: _TextItem, item: dict[str, Any]) -> list[bytes]:
        self._open = None
        part = item["content"][0]
        done = {name: part[name] for name in ("text", "logprobs") if name in part}
        return [
            self._text_event(f"{kind.event}.done", item, **done),
            self._text_event("response.content_part.done", item, part=part),
            self._item_event("response.output_item.done", item),
        ]

    def _call(self, item: dict[str, Any]) -> list[bytes]:
        self._output_index += 1
        where = {"item_id": item["id"], "output_index": self._output_index}
        begun = {**item, "arguments": "", "status": "in_progress"}
        name = "response.function_call_arguments"
        return [
            self._item_event("response.output_item.added", begun),
            self._event(f"{name}.delta", delta=item["arguments"], **where),
            self._event(f"{name}.done", arguments=item["arguments"], name=item["name"], **where),
            self._item_event("response.output_item.done", item),
        ]

    def _item_event(self, type: str, item: dict[str, Any]) -> bytes:
        return self._event(type, output_index=self._output_index, item=item)

    def _text_event(self, type: str, item: dict[str, Any], **fields: object) -> bytes:
        return self._event(type, item_id=item["id"], output_index=self._output_index, content_index=0, **fields)

    def _event(self, type: str, **fields: object) -> bytes:
        spelled = event({"type": type, "sequence_number": self._num_events, **fields}, type)
        self._num_events += 1
        return spelled


def _usage(answer: Answer) -> dict[str, Any]:
    return {
        "input_tokens": answer.num_prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": answer.num_sampled_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": answer.num_prompt_tokens + answer.num_sampled_tokens,
    }
