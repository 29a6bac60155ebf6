"""What the queue's tools know: records of JSON values alone, so that an answer read back is a record again.

Days are ISO dates (``2031-04-18``); as text they are in order of time.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What a task asks about: a post somebody reported, or whose author appeals."""

    post: str
    kind: str
    """report or appeal."""
    moderator: str
    """Who decides."""
    day: str

    @property
    def prompt(self) -> str:
        """Return the task's prompt: one ``name: value`` line each."""
        return f"post: {self.post}\nkind: {self.kind}\nmoderator: {self.moderator}\nday: {self.day}"

    @classmethod
    def read(cls, prompt: str) -> "Item":
        """Return the item that a prompt states."""
        return cls(**dict(line.split(": ", 1) for line in prompt.splitlines()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One post."""

    post: str
    account: str
    community: str
    posted_on: str
    text: str
    quotes: str | None
    """The post it quotes."""
    link: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Community:
    """One community."""

    community: str
    kind: str
    """general, news, satire or market."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account."""

    account: str
    parody: bool
    verified_as: str | None
    """The organisation that it was shown to belong to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """Whose telephone number it is."""

    contact: str
    kind: str
    """private, business or office."""
    account: str | None
    """The account of its owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """One recent post of an account, and what it links to."""

    post: str
    posted_on: str
    link: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One strike against an account."""

    post: str
    rule: str
    given_on: str
    overturned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PastDecision:
    """One earlier decision on a post."""

    decided_on: str
    moderator: str
    decision: str
    rule: str
    appealed_on: str | None
    appeal: str | None
    """What came of the appeal; None while it waits, or when there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    """Who reported a post."""

    post: str
    count: int
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All records of one task, by what the tools are asked with."""

    posts: Mapping[str, Post]
    communities: Mapping[str, Community]
    accounts: Mapping[str, Account]
    contacts: Mapping[str, Contact]
    histories: Mapping[str, tuple[Shared, ...]]
    """By account, the latest first."""
    strikes: Mapping[str, tuple[Strike, ...]]
    """By account, the latest first."""
    decisions: Mapping[str, tuple[PastDecision, ...]]
    """By post, the earliest first."""
    reports: Mapping[str, Reports]
    """By post."""
