"""Server-sent events of the Anthropic messages dialect: deltas and the answer in, events out.

message_start, then for each block content_block_start, content_block_delta..., content_block_stop; then message_delta
with the stop reason and the numbers of tokens, and message_stop. That is the order anthropic's ``messages.stream``
builds its message from. What the prompt counts is known at the end only: message_delta corrects message_start's 0.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from turnwright.core.protocols import ReplyDelta
from turnwright.gateway.calls import Answer
from turnwright.gateway.dialects.anthropic_content import reply_blocks
from turnwright.gateway.http.sse import event
from turnwright.gateway.refusals import Refusal


class MessageEvents:
    """Implements EventWriter for one reply."""

    def __init__(self, *, id: str, model: str, refuse: Callable[[Refusal], dict[str, Any]]) -> None:
        """Prepare the events of a reply.

        Args:
            id: The reply's id.
            model: Model name as it was asked for.
            refuse: Spells an error's body.
        """
        self._id = id
        self._model = model
        self._refuse = refuse
        self._num_blocks = 0
        self._open: str | None = None
        """Kind of the block that is being written."""

    def start(self) -> list[bytes]:
        """Return message_start."""
        message = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }
        return [_event("message_start", message=message)]

    def delta(self, delta: ReplyDelta) -> list[bytes]:
        """Return the text as part of a block of its kind, after opening that when another kind came before."""
        if not delta.text:
            return []
        if delta.kind == "reasoning":
            kind, block = "thinking", {"type": "thinking", "thinking": "", "signature": ""}
            piece = {"type": "thinking_delta", "thinking": delta.text}
        else:
            kind, block = "text", {"type": "text", "text": ""}
            piece = {"type": "text_delta", "text": delta.text}
        events = [] if self._open == kind else [*self._close(), self._begin(kind, block)]
        return [*events, self._piece(piece)]

    def finish(self, answer: Answer) -> list[bytes]:
        """Return the calls, then the end of the message."""
        events = self._close()
        for block in reply_blocks(answer.message):
            if block["type"] == "tool_use":
                text = json.dumps(block["input"], ensure_ascii=False)
                events.append(self._begin("tool_use", {**block, "input": {}}))
                events.append(self._piece({"type": "input_json_delta", "partial_json": text}))
                events.extend(self._close())
            elif not self._num_blocks:
                # The reply says nothing at all: one empty text block, as in the whole reply.
                events.extend([self._begin("text", block), *self._close()])
        reason, sequence = stop_reason(answer)
        events.append(
            _event("message_delta", delta={"stop_reason": reason, "stop_sequence": sequence}, usage=usage(answer))
        )
        events.append(_event("message_stop"))
        return events

    def refuse(self, refusal: Refusal) -> list[bytes]:
        """Return an error event; the vendor's clients raise it as the exception of the response's status."""
        return [event(self._refuse(refusal), "error")]

    def _begin(self, kind: str, block: Mapping[str, Any]) -> bytes:
        self._open = kind
        self._num_blocks += 1
        return _event("content_block_start", index=self._num_blocks - 1, content_block=block)

    def _piece(self, delta: Mapping[str, Any]) -> bytes:
        return _event("content_block_delta", index=self._num_blocks - 1, delta=delta)

    def _close(self) -> list[bytes]:
        if self._open is None:
            return []
        self._open = None
        return [_event("content_block_stop", index=self._num_blocks - 1)]


def message_id(line_name: str, turn: int) -> str:
    """Return the id of a reply."""
    return f"msg_{line_name}_{turn}"


def usage(answer: Answer) -> dict[str, int]:
    """Return the numbers of tokens; nothing here is billed, so nothing is ever read from a cache."""
    return {
        "input_tokens": answer.num_prompt_tokens,
        "output_tokens": answer.num_sampled_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
    }


def stop_reason(answer: Answer) -> tuple[str, str | None]:
    """Return ``stop_reason`` and the stop sequence that was sampled, if one ended the reply."""
    if answer.finish_reason == "length":
        return "max_tokens", None
    text = "".join(answer.token_texts)
    sampled = [(text.find(stop), stop) for stop in answer.used.stop if stop in text]
    if sampled:
        return "stop_sequence", min(sampled)[1]
    return ("tool_use" if answer.message.tool_calls else "end_turn"), None


def _event(kind: str, **fields: Any) -> bytes:
    return event({"type": kind, **fields}, kind)
