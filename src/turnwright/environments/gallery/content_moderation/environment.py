"""ContentModeration: eight tools over a generated world, a reward by field, an oracle and a tired moderator."""

import json
from collections.abc import Generator, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from turnwright.core.episode import Episode
from turnwright.core.errors import ToolError
from turnwright.core.message import Message
from turnwright.core.seeding import generator
from turnwright.core.task import Split, Task
from turnwright.environments.answers import final_answer
from turnwright.environments.base import Environment
from turnwright.environments.gallery.content_moderation.generator import make_case
from turnwright.environments.gallery.content_moderation.policy import POLICY
from turnwright.environments.gallery.content_moderation.records import (
    Account,
    Community,
    Contact,
    Item,
    PastDecision,
    Post,
    Shared,
    Strike,
)
from turnwright.environments.gallery.content_moderation.rules import Facts, judge
from turnwright.environments.gallery.content_moderation.wording import read
from turnwright.environments.gallery.sizes import split_sizes
from turnwright.environments.rewards import field_accuracy, with_format
from turnwright.environments.scripts import Script, call, say
from turnwright.environments.tools import tool

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What a moderator does against the policy."""

    believes_warnings: bool = False
    """Takes every warning for a quotation, without looking who is quoted."""
    counts_old_strikes: bool = False
    overlooks_places: bool = False
    """Takes every community for a general one."""
    takes_any_appeal: bool = False
    """Decides on appeals that came too late or again, or that are against decisions of their own."""


class ContentModeration(Environment):
    """Decide on a post that was reported, or on an appeal: decision, rule, strikes, appeal and escalation."""

    instructions = POLICY
    typical_turns = 7

    def __init__(
        self, *, train_tasks: int = 600, validation_tasks: int = 60, test_tasks: int = 180, seed: int = 0
    ) -> None:
        """Take the number of tasks per split and the seed of their worlds."""
        self._sizes = split_sizes("content_moderation", train=train_tasks, validation=validation_tasks, test=test_tasks)
        self._seed = seed

    def tasks(self, split: Split) -> Iterator[Task]:
        """Yield the tasks of a split; worlds are made when they are asked for."""
        for index in range(self._sizes[split]):
            key = f"{split}-{index}"
            case = make_case(self._seed, key)
            yield Task(
                id=f"moderation-{self._seed}-{key}",
                prompt=case.item.prompt,
                data={"key": key, "gold": asdict(case.verdict)},
                split=split,
                cluster=case.world_hash,
            )

    def open(self, task: Task, seed: int) -> None:
        """Begin an episode in the task's world."""
        super().open(task, seed)
        self._world = make_case(self._seed, task.data["key"]).world

    @tool
    def get_post(self, post: str) -> dict[str, Any]:
        """Return one post: account, community, day, text, the post it quotes and its link.

        Args:
            post: Name of the post.
        """
        return asdict(_find(self._world.posts, post, "post"))

    @tool
    def get_community(self, community: str) -> dict[str, Any]:
        """Return one community and its kind.

        Args:
            community: Name of the community, such as c/chess.
        """
        return asdict(_find(self._world.communities, community, "community"))

    @tool
    def get_account(self, account: str) -> dict[str, Any]:
        """Return one account: whether it is marked as parody, and what it is verified as.

        Args:
            account: Name of the account.
        """
        return asdict(_find(self._world.accounts, account, "account"))

    @tool
    def get_history(self, account: str) -> list[dict[str, Any]]:
        """Return the posts an account made around the time of its post, with their links, the latest first.

        Args:
            account: Name of the account.
        """
        return [asdict(one) for one in _find(self._world.histories, account, "account")]

    @tool
    def get_strikes(self, account: str) -> list[dict[str, Any]]:
        """Return the strikes of an account, the latest first.

        Args:
            account: Name of the account.
        """
        return [asdict(one) for one in _find(self._world.strikes, account, "account")]

    @tool
    def look_up_contact(self, contact: str) -> dict[str, Any]:
        """Return whose telephone number it is: private person, business or office, and the account if there is one.

        Args:
            contact: The number as it is written.
        """
        return asdict(_find(self._world.contacts, contact, "entry for the number"))

    @tool
    def get_decisions(self, post: str) -> list[dict[str, Any]]:
        """Return the earlier decisions on a post with their appeals, the earliest first.

        Args:
            post: Name of the post.
        """
        return [asdict(one) for one in _find(self._world.decisions, post, "post")]

    @tool
    def get_reports(self, post: str) -> dict[str, Any]:
        """Return how many reports there are on a post, and through which channels.

        Args:
            post: Name of the post.
        """
        return asdict(_find(self._world.reports, post, "post"))

    def reward(self, episode: Episode) -> dict[str, float]:
        """Return the share of right fields, less 0.1 without a readable answer; an unasked field counts as wrong."""
        answer = final_answer(episode)
        return with_format(field_accuracy(answer, episode.task.data["gold"]), emitted=answer is not None)

    def oracle(self, task: Task) -> Script:
        """Follow the policy to the letter."""
        return _moderate(Item.read(task.prompt), Habits())

    def tired_moderator(self, task: Task, seed: int) -> Script:
        """Work as a moderator whose habits, each of which rests now and then, are drawn per task and seed.

        Who is quoted is not looked up, strikes never age, one community is like another, and every appeal is decided.
        """
        random = generator("content_moderation.tired_moderator", seed, task.id)
        warnings, strikes, places, appeals = (random.random() < 0.65 for _ in range(4))
        habits = Habits(
            believes_warnings=warnings,
            counts_old_strikes=strikes,
            overlooks_places=places,
            takes_any_appeal=appeals,
        )
        return _moderate(Item.read(task.prompt), habits)


def _moderate(item: Item, habits: Habits) -> Script:
    """Work an item through, reading the world through its tools alone."""
    post = Post(**(yield from _ask("get_post", post=item.post)))
    reading = read(post.text)
    facts = Facts(post=post, community=Community(community=post.community, kind="general"), strikes=(), channels=())
    if not habits.overlooks_places:
        facts = replace(facts, community=Community(**(yield from _ask("get_community", community=post.community))))
    if reading.warns and post.quotes:
        other = replace(post, account="somebody else")
        quoted = other if habits.believes_warnings else Post(**(yield from _ask("get_post", post=post.quotes)))
        facts = replace(facts, quoted=quoted)
    if reading.contact:
        facts = replace(facts, contact=Contact(**(yield from _ask("look_up_contact", contact=reading.contact))))
    if "impersonation" in reading.rules:
        facts = replace(facts, account=Account(**(yield from _ask("get_account", account=post.account))))
    if "spam" in reading.rules:
        listed = yield from _ask("get_history", account=post.account)
        facts = replace(facts, history=tuple(Shared(**one) for one in listed))
    if item.kind == "appeal":
        listed = yield from _ask("get_decisions", post=item.post)
        decisions = tuple(PastDecision(**one) for one in listed)
        if habits.takes_any_appeal:
            (*_, last) = decisions
            decisions = (replace(last, moderator="somebody else", appealed_on=last.decided_on),)
        facts = replace(facts, decisions=decisions)
    listed = yield from _ask("get_strikes", account=post.account)
    strikes = tuple(Strike(**one) for one in listed)
    if habits.counts_old_strikes:
        strikes = tuple(replace(one, given_on=item.day) for one in strikes)
    reports = yield from _ask("get_reports", post=item.post)
    verdict = judge(item, replace(facts, strikes=strikes, channels=tuple(reports["channels"])))
    yield say(verdict.answer())


def _ask(name: str, /, **arguments: object) -> Generator[Message, tuple[Message, ...], Any]:
    (message,) = yield call(name, **arguments)
    return json.loads(message.content)


def _find(records: Mapping[str, Record], key: str, what: str) -> Record:
    if key not in records:
        raise ToolError(f"there is no {what} {key}")
    return records[key]
