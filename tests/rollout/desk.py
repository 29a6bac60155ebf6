"""A desk whose tool does what its argument says, and policies that say what they are told."""

import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence

from turnwright.core.episode import Episode, EpisodeKey, FinishReason
from turnwright.core.errors import ToolError
from turnwright.core.message import Message, ToolSpec
from turnwright.core.protocols import Reply
from turnwright.core.task import Split, Task
from turnwright.environments.base import Done, Environment
from turnwright.environments.scripts import call, say
from turnwright.environments.tools import tool

TASK = Task(id="order-4", prompt="order: O3")
KEY = EpisodeKey(task_id="order-4", attempt=2)
LOOK = call("look", order="O3")
DONE = say("done")


class Desk(Environment):
    """Rewards an answer that says "done"; all episodes of a prototype share its log."""

    instructions = "Look the order up, then say done."
    max_turns = 4

    def __init__(self, *, crashes: int = 10**9, questions: int = 0) -> None:
        self.log: list[str] = []
        """What happened, in order: open, close, reward, or a tool's order."""
        self.crashes_left = [crashes]
        self.questions = questions
        self.release = threading.Event()
        """Lets "hang" return."""

    def tasks(self, split: Split) -> Iterable[Task]:
        return [TASK]

    def open(self, task: Task, seed: int) -> None:
        super().open(task, seed)
        self.log.append("open")
        self.asked = 0

    def close(self) -> None:
        self.log.append("close")

    @tool
    def look(self, order: str) -> dict[str, str]:
        """Look one order up."""
        self.log.append(order)
        if order == "hang":
            self.release.wait(20)
        if order == "busy":
            raise ToolError("busy, try again")
        if order == "crash" and self.crashes_left[0]:
            self.crashes_left[0] -= 1
            raise RuntimeError("disk full")
        return {"order": order, "item": "K1"}

    def respond(self, reply: Message) -> list[Message] | Done:
        if self.asked < self.questions:
            self.asked += 1
            return [Message(role="user", content="and?")]
        return Done()

    def reward(self, episode: Episode) -> float:
        self.log.append("reward")
        return float(episode.answer == "done")


class Told:
    """A ChatPolicy that goes through a list: messages to say, errors to raise, functions to wait for."""

    def __init__(self, *replies: Message | BaseException | Callable[[], Awaitable[Message]]) -> None:
        self._replies = list(replies)
        self.finish_reason: FinishReason = "stop"
        self.num_prompt_tokens = 10
        self.seen: list[tuple[Message, ...]] = []
        """The conversation at each call."""

    async def chat(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        self.seen.append(tuple(messages))
        reply = self._replies.pop(0)
        if isinstance(reply, BaseException):
            raise reply
        return Reply(
            message=reply if isinstance(reply, Message) else await reply(),
            finish_reason=self.finish_reason,
            num_prompt_tokens=self.num_prompt_tokens,
            num_sampled_tokens=5,
            mean_logprob=-0.5,
            policy_version=3,
        )
