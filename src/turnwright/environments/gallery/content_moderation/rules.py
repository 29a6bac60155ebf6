"""The moderation policy as functions: the facts of an item flow in, the five fields of the answer flow out."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date

from turnwright.environments.gallery.content_moderation.records import (
    Account,
    Community,
    Contact,
    Item,
    PastDecision,
    Post,
    Shared,
    Strike,
    World,
)
from turnwright.environments.gallery.content_moderation.wording import Reading, read

RULES = ("private_data", "scam", "impersonation", "brigading", "spam")
"""In order of precedence."""
ALWAYS_REMOVED = ("private_data", "scam", "impersonation")
STRIKE_WEIGHT: Mapping[str, int] = {"scam": 2}
STRIKE_DAYS: Mapping[str, int] = {"scam": 180}
"""Where they differ from one strike that counts for 90 days."""
PLAIN_STRIKE_DAYS = 90
SPAM_DAYS = 7
SPAM_POSTS = 3
SPAM_POSTS_IN_MARKET = 6
APPEAL_DAYS = 30
REVIEW_STRIKES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The five scored fields of an answer."""

    decision: str
    """keep, limit or remove."""
    rule: str
    strikes: int
    appeal: str
    """none, deferred, dismissed, overturned, reduced or upheld."""
    escalate: bool

    def answer(self) -> str:
        """Return the answer block."""
        return f"<final_output>{json.dumps(asdict(self))}</final_output>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known about an item; what its text does not call for may be left out."""

    post: Post
    community: Community
    strikes: tuple[Strike, ...]
    """Of the author."""
    channels: tuple[str, ...]
    """Through which the post was reported."""
    quoted: Post | None = None
    contact: Contact | None = None
    account: Account | None = None
    history: tuple[Shared, ...] = ()
    decisions: tuple[PastDecision, ...] = ()
    """On the post, the earliest first."""


def is_quotation(reading: Reading, post: Post, quoted: Post | None) -> bool:
    """Return whether a post shows somebody else's words to warn of them."""
    return reading.warns and quoted is not None and quoted.account != post.account


def num_same_links(history: Iterable[Shared], post: Post) -> int:
    """Return how many posts with the same link the author made in the week up to this one, which counts as well."""
    return sum(
        one.link == post.link and 0 <= days_between(one.posted_on, post.posted_on) <= SPAM_DAYS for one in history
    )


def violates(rule: str, reading: Reading, facts: Facts) -> bool:
    """Return whether a post whose text touches ``rule`` breaks it, every exception considered."""
    post, kind = facts.post, facts.community.kind
    if rule == "private_data":
        contact = facts.contact
        if contact is None or contact.kind == "business" or contact.account == post.account:
            return False
        return contact.kind == "private" or kind != "news"
    if is_quotation(reading, post, facts.quoted):
        return False
    if rule == "impersonation" and facts.account is not None:
        satire = facts.account.parody and kind == "satire"
        return not satire and plain(facts.account.verified_as or "") != plain(reading.organisation)
    if rule == "brigading":
        return reading.target != post.community and not (kind == "news" and post.link is not None)
    if rule == "spam":
        allowed = SPAM_POSTS_IN_MARKET if kind == "market" else SPAM_POSTS
        return num_same_links(facts.history, post) >= allowed
    return True


def broken_rule(facts: Facts) -> str:
    """Return the first rule in order of precedence that the post breaks; none if there is no such rule."""
    reading = read(facts.post.text)
    return next((rule for rule in RULES if rule in reading.rules and violates(rule, reading, facts)), "none")


def count_strikes(strikes: Iterable[Strike], day: str) -> int:
    """Return how many strikes count on a day."""
    return sum(
        STRIKE_WEIGHT.get(one.rule, 1)
        for one in strikes
        if not one.overturned and days_between(one.given_on, day) <= STRIKE_DAYS.get(one.rule, PLAIN_STRIKE_DAYS)
    )


def measure(rule: str, earlier_strikes: int) -> str:
    """Return what is done with a post that breaks ``rule``."""
    if rule == "none":
        return "keep"
    return "remove" if rule in ALWAYS_REMOVED or earlier_strikes else "limit"


def judge(item: Item, facts: Facts) -> Verdict:
    """Return what the policy decides on an item."""
    return _judge_appeal(item, facts) if item.kind == "appeal" else _judge_report(item, facts)


def facts_of(item: Item, world: World) -> Facts:
    """Return everything a world knows about an item."""
    post = world.posts[item.post]
    return Facts(
        post=post,
        community=world.communities[post.community],
        strikes=world.strikes[post.account],
        channels=world.reports[post.post].channels,
        quoted=world.posts[post.quotes] if post.quotes else None,
        contact=world.contacts.get(read(post.text).contact),
        account=world.accounts[post.account],
        history=world.histories[post.account],
        decisions=world.decisions[post.post],
    )


def days_between(earlier: str, later: str) -> int:
    """Return the days from one ISO date to another."""
    return (date.fromisoformat(later) - date.fromisoformat(earlier)).days


def plain(name: str) -> str:
    """Return the form in which names of organisations are compared."""
    return name.casefold()


def _judge_report(item: Item, facts: Facts) -> Verdict:
    rule, earlier = broken_rule(facts), count_strikes(facts.strikes, item.day)
    new = 0 if rule == "none" else STRIKE_WEIGHT.get(rule, 1)
    return _verdict(facts, decision=measure(rule, earlier), rule=rule, strikes=earlier + new, appeal="none")


def _judge_appeal(item: Item, facts: Facts) -> Verdict:
    last = facts.decisions[-1]
    strikes = count_strikes(facts.strikes, item.day)
    late = last.appealed_on is None or days_between(last.decided_on, last.appealed_on) > APPEAL_DAYS
    again = any(one.appeal for one in facts.decisions)
    if last.moderator == item.moderator or late or again:
        outcome = "deferred" if last.moderator == item.moderator else "dismissed"
        return _verdict(facts, decision=last.decision, rule=last.rule, strikes=strikes, appeal=outcome)
    others = count_strikes((one for one in facts.strikes if one.post != item.post), item.day)
    rule = broken_rule(facts)
    if rule == "none":
        return _verdict(facts, decision="keep", rule=rule, strikes=others, appeal="overturned")
    lighter = last.decision == "remove" and measure(rule, others) == "limit"
    # An appeal never makes things worse.
    decision, outcome = ("limit", "reduced") if lighter else (last.decision, "upheld")
    return _verdict(facts, decision=decision, rule=rule, strikes=strikes, appeal=outcome)


def _verdict(facts: Facts, *, decision: str, rule: str, strikes: int, appeal: str) -> Verdict:
    review = decision != "keep" and strikes >= REVIEW_STRIKES
    escalate = review or appeal == "deferred" or "authority" in facts.channels
    return Verdict(decision=decision, rule=rule, strikes=strikes, appeal=appeal, escalate=escalate)
