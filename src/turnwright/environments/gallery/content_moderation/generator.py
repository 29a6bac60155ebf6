"""Worlds of the queue: a pure function of seed and key, one world per task, none shared.

What should come out is drawn first, each rule and each outcome of an appeal in its proportion; then worlds are dealt
until the policy gives that. What a text touches is dealt apart from what is true about it.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from hashlib import blake2b
from random import Random

from turnwright.core.seeding import generator
from turnwright.environments.gallery.content_moderation.records import (
    Account,
    Community,
    Contact,
    Item,
    PastDecision,
    Post,
    Reports,
    Shared,
    Strike,
    World,
)
from turnwright.environments.gallery.content_moderation.rules import ALWAYS_REMOVED, RULES, Verdict, facts_of, judge
from turnwright.environments.gallery.content_moderation.wording import (
    COMMUNITIES,
    ORGANISATIONS,
    PAPERS,
    SHOPS,
    TEXTS,
    read,
    without_warning,
    write,
)

KINDS = ("general", "news", "satire", "market")
CHANNELS = ("reader", "reader", "reader", "partner", "authority")
EARLIER_DAYS = 40
"""Days before a decision that is appealed against on which the post is there at the latest."""
TOPICS = tuple(TEXTS)
TOPIC_WEIGHTS = (20, 14, 10, 18, 18, 18, 2)
WANTED = (
    ("none", "none", 18),
    *((rule, "none", 8) for rule in RULES),
    ("", "overturned", 11),
    ("", "upheld", 11),
    ("", "reduced", 4),
    ("", "dismissed", 9),
    ("", "deferred", 7),
)
"""Rule and outcome of the appeal, with how many in a hundred; an appeal may end with any rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One task: what is asked, the world it is asked in, and what the policy decides."""

    item: Item
    world: World
    verdict: Verdict

    @property
    def world_hash(self) -> str:
        """Return a digest of every record of the world."""
        return blake2b(repr(self.world).encode(), digest_size=8).hexdigest()


@lru_cache(maxsize=4096)
def make_case(seed: int, key: str) -> Case:
    """Make the case named by seed and key."""
    random = generator("content_moderation", seed, key)
    rule, appeal, _ = random.choices(WANTED, [weight for *_, weight in WANTED])[0]
    while True:
        item, world = _deal(random, "report" if appeal == "none" else "appeal")
        verdict = judge(item, facts_of(item, world))
        if verdict.appeal == appeal and rule in ("", verdict.rule):
            return Case(item=item, world=world, verdict=verdict)


def _deal(random: Random, kind: str) -> tuple[Item, World]:
    """Deal an item and its world, whatever comes out."""
    today = date(2031, 1, 1) + timedelta(days=random.randrange(700))
    author, other, third = (f"U{number}" for number in random.sample(range(100, 1000), 3))
    ours, theirs = (f"P{number}" for number in random.sample(range(1000, 10000), 2))
    moderators = [f"M{number}" for number in random.sample(range(10, 60), 3)]
    communities = [Community(community=name, kind=random.choice(KINDS)) for name in random.sample(COMMUNITIES, 3)]
    contact = Contact(
        contact=f"555-01{random.randrange(100):02}",
        kind=random.choices(("private", "business", "office"), (45, 20, 35))[0],
        account=random.choice((author, other, third, None, None)),
    )
    organisation = random.choice(ORGANISATIONS)
    decided = today - timedelta(days=random.choice((2, 12, 31, 32, 33, 34, 42))) if kind == "appeal" else None
    written = decided - timedelta(days=EARLIER_DAYS) if decided else today
    post = _deal_post(random, written, ours, author, communities, contact, organisation)
    quoted = replace(
        _deal_post(random, written - timedelta(days=15), theirs, other, communities, contact, organisation),
        text=without_warning(post.text),
        account=random.choices((other, author), (60, 40))[0],
        quotes=None,
    )
    post = replace(post, quotes=random.choices((theirs, None), (75, 25))[0])
    accounts = (author, other, third)
    decisions = _deal_decisions(random, today, decided, post, moderators) if decided else ()
    strikes = {one: _deal_strikes(random, today) for one in accounts}
    if decisions and decisions[-1].decision != "keep":
        own = Strike(post=ours, rule=decisions[-1].rule, given_on=decisions[-1].decided_on, overturned=False)
        strikes[author] = tuple(sorted((own, *strikes[author]), key=lambda one: one.given_on, reverse=True))
    world = World(
        posts={one.post: one for one in (post, quoted)},
        communities={one.community: one for one in communities},
        accounts={one: _deal_account(random, one, organisation) for one in accounts},
        contacts={one.contact: one for one in (contact, _another(random, contact, other))},
        histories={one: _deal_history(random, post if one == author else quoted) for one in accounts},
        strikes=strikes,
        decisions={ours: decisions, theirs: ()},
        reports={one: _deal_reports(random, one) for one in (ours, theirs)},
    )
    return Item(post=ours, kind=kind, moderator=moderators[0], day=today.isoformat()), world


def _deal_post(
    random: Random,
    today: date,
    name: str,
    account: str,
    communities: list[Community],
    contact: Contact,
    organisation: str,
) -> Post:
    topic = random.choices(TOPICS, TOPIC_WEIGHTS)[0]
    home = random.choice(communities).community
    target = home if random.random() < 0.3 else random.choice(communities).community
    blanks = {"contact": contact.contact, "organisation": organisation, "target": target}
    shop, paper = random.choice(SHOPS), random.choice(PAPERS)
    return Post(
        post=name,
        account=account,
        community=home,
        posted_on=_before(today, random.randrange(1, 12)),
        text=write(random, topic, warns=random.random() < 0.35, link=shop, blanks=blanks),
        quotes=None,
        link=shop if topic == "spam" else random.choice((paper, None)),
    )


def _another(random: Random, contact: Contact, account: str) -> Contact:
    """Return a number beside the one in the text."""
    number = (int(contact.contact[-2:]) + random.randrange(1, 100)) % 100
    return Contact(contact=f"555-01{number:02}", kind="business", account=account)


def _deal_account(random: Random, name: str, organisation: str) -> Account:
    verified = random.choices((organisation, random.choice(ORGANISATIONS), None), (25, 25, 50))[0]
    return Account(account=name, parody=random.random() < 0.5, verified_as=verified)


def _deal_history(random: Random, post: Post) -> tuple[Shared, ...]:
    """Deal an author's posts around the one in question, some with its link and some just too old to count."""
    same = random.choices((0.9, 0.4), (50, 50))[0]
    number = random.randrange(2, 9)
    ages = [random.choice((0, 1, 2, 3, 4, 5, 6, 7, 7, 8, 8, 9)) for _ in range(number)]
    day = date.fromisoformat(post.posted_on)
    shared = [
        Shared(
            post=f"P{other}",
            posted_on=_before(day, age),
            link=post.link if random.random() < same else random.choice((*SHOPS, None)),
        )
        for other, age in zip(random.sample(range(10000, 20000), number), ages, strict=True)
    ]
    own = Shared(post=post.post, posted_on=post.posted_on, link=post.link)
    return tuple(sorted((own, *shared), key=lambda one: (one.posted_on, one.post), reverse=True))


def _deal_strikes(random: Random, today: date) -> tuple[Strike, ...]:
    number = random.choices((0, 1, 3, 4, 5, 6), (22, 12, 12, 18, 18, 18))[0]
    ages = sorted(random.choice((5, 30, 70, 89, 90, 91, 100, 150, 179, 180, 181, 250)) for _ in range(number))
    return tuple(
        Strike(
            post=f"P{other}",
            rule=random.choice(RULES),
            given_on=_before(today, age),
            overturned=random.random() < 0.2,
        )
        for other, age in zip(random.sample(range(20000, 30000), number), ages, strict=True)
    )


def _deal_decisions(
    random: Random, today: date, decided: date, post: Post, moderators: list[str]
) -> tuple[PastDecision, ...]:
    """Deal the decision that is appealed against, sometimes after one that was appealed against before."""
    touched = read(post.text).rules
    rule = random.choice(touched) if touched and random.random() < 0.8 else random.choice(RULES)
    decision = "remove" if rule in ALWAYS_REMOVED or random.random() < 0.5 else "limit"
    last = PastDecision(
        decided_on=decided.isoformat(),
        moderator=random.choices(moderators, (25, 40, 35))[0],
        decision=decision,
        rule=rule,
        appealed_on=_before(today, random.randrange(1, 3)),
        appeal=None,
    )
    if random.random() < 0.7:
        return (last,)
    appealed = random.random() < 0.5
    earlier = replace(
        last,
        decided_on=_before(decided, EARLIER_DAYS - 2),
        moderator=random.choice(moderators),
        appealed_on=_before(decided, EARLIER_DAYS - 10) if appealed else None,
        appeal=random.choice(("upheld", "reduced")) if appealed else None,
    )
    return (earlier, last)


def _deal_reports(random: Random, post: str) -> Reports:
    count = random.randrange(1, 6)
    channels = CHANNELS if random.random() < 0.3 else CHANNELS[:-1]
    return Reports(post=post, count=count, channels=tuple(random.choice(channels) for _ in range(count)))


def _before(day: date, days: int) -> str:
    return (day - timedelta(days=days)).isoformat()
