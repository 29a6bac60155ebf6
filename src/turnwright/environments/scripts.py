"""Scripts: policies written by hand, which solve a task (``oracle``) or show how somebody works (demonstrators).

A script is a generator of assistant messages. The driver sends back, for each one, the messages that followed it, so
that a script reads tool results and recovers from errors::

    def oracle(self, task: Task) -> Script:
        (result,) = yield call("lookup", order=17)
        yield say(f"It ships to {result.content}.")
"""

import json
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from types import GeneratorType
from typing import Any, cast

from turnwright.core.message import Message, ToolCall

Script = Generator[Message, tuple[Message, ...], None]
"""Yields assistant messages; is sent the messages that followed the one it yielded."""


def call(name: str, /, **arguments: Any) -> Message:
    """Return the assistant message that calls one tool; its id is given by ``numbered``."""
    text = json.dumps(arguments, ensure_ascii=False)
    return Message(role="assistant", tool_calls=(ToolCall(id="", name=name, arguments=text),))


def say(content: str) -> Message:
    """Return an assistant message of plain text."""
    return Message(role="assistant", content=content)


def numbered(messages: Iterable[Message]) -> Script:
    """Turn a script or any iterable of messages into a script whose calls have the ids ``call_<turn>_<index>``."""
    source: Iterator[Message] = iter(messages)
    script = cast(Script, source) if isinstance(source, GeneratorType) else None
    turn, followed = 0, ()
    while True:
        try:
            message = script.send(followed) if script is not None and turn else next(source)
        except StopIteration:
            return
        calls = tuple(replace(one, id=f"call_{turn}_{index}") for index, one in enumerate(message.tool_calls))
        followed = yield replace(message, tool_calls=calls)
        turn += 1
