"""What posts say: harmless invented texts, and what a text touches read back out of it.

A text tells which rule may apply, never whether it does: that depends on who wrote it, where, and about whom.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

ORGANISATIONS = ("Northern Rail", "the City Library", "Harbour Bank", "the Water Works", "Linden Insurance")
COMMUNITIES = ("c/gardening", "c/cycling", "c/old-town", "c/photos", "c/cooking", "c/harbour", "c/chess", "c/running")
SHOPS = ("case-shop.example", "candle-corner.example", "socks4you.example", "lamp-outlet.example")
PAPERS = ("daily-herald.example", "evening-post.example")

SCAM = (
    "Send me a gift card of {amount} euros today, and I send you double back tomorrow.",
    "I won the lottery and share it: whoever pays the transfer fee of {amount} euros gets a thousand.",
    "Guaranteed profit: hand me {amount} euros now, and on Friday you have three times as much.",
    "Read me the code from your text message, and your account is upgraded for free.",
)
SCAM_BY_PHONE = (
    "Guaranteed profit! Call {contact}, pay {amount} euros, and on Friday you have three times as much.",
    "You have won a bicycle. To get it, call {contact} and have a gift card of {amount} euros ready.",
)
PRIVATE_DATA = (
    "If anybody wonders how to reach the one from the corner shop: {contact}.",
    "Here is the number you all asked for: {contact}. Somebody will pick up sooner or later.",
    "The landlord does not answer letters, so try {contact}.",
    "About the tickets: call {contact} and ask for Kim.",
    "For questions about the street works there is only {contact}.",
)
IMPERSONATION = (
    "This is the official help desk of {organisation}. We answer all your questions here.",
    "{organisation} speaking: from tomorrow on everything is half the price.",
    "On behalf of {organisation} we are sorry for what happened on Monday.",
)
BRIGADING = (
    "Everybody over to {target}, and vote every post down until they give up.",
    "Let us all fill {target} with the same question tonight.",
    "They laughed at us in {target}. Go there and report whatever you see.",
)
SPAM = (
    "The best in town are at {link}.",
    "I buy nowhere but at {link}. Have a look, it is worth it.",
    "Sale until Sunday: {link}",
)
PLAIN = (
    "My tomatoes are red at last.",
    "Does anybody know a quiet place to read near the station?",
    "The bridge is closed again, so take the ferry.",
    "I disagree with everything that was said here yesterday, and I will say so again.",
)
TEXTS: Mapping[str, tuple[str, ...]] = {
    "private_data": PRIVATE_DATA,
    "scam": SCAM,
    "private_data and scam": SCAM_BY_PHONE,
    "impersonation": IMPERSONATION,
    "brigading": BRIGADING,
    "spam": SPAM,
    "none": PLAIN,
}
WARNINGS = (
    "Careful, this is going round: ",
    "Do not fall for this one: ",
    "Somebody posted this, and I find it wrong: ",
)

BLANK = re.compile(r"\\\{(\w+)\\\}")
FORMS = tuple(
    (topic, re.compile(BLANK.sub(r"(?P<\1>.+?)", re.escape(text)), re.IGNORECASE))
    for topic, texts in TEXTS.items()
    for text in texts
)
"""Every text as a pattern whose groups are its blanks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a text touches."""

    rules: tuple[str, ...]
    warns: bool = False
    """It presents what it says as something to be warned of."""
    contact: str = ""
    organisation: str = ""
    target: str = ""


def write(random: Random, topic: str, *, warns: bool, link: str, blanks: Mapping[str, str]) -> str:
    """Return a text on a topic, a key of ``TEXTS``, with its blanks filled in."""
    text = random.choice(TEXTS[topic]).format(link=link, amount=random.randrange(20, 200, 10), **blanks)
    text = text[0].upper() + text[1:]
    return random.choice(WARNINGS) + text if warns else text


def read(text: str) -> Reading:
    """Return what a text touches.

    Raises ValueError when it is none that ``write`` may write.
    """
    said = without_warning(text)
    for topic, form in FORMS:
        if match := form.fullmatch(said):
            found = {name: value for name, value in match.groupdict().items() if name not in ("amount", "link")}
            rules = () if topic == "none" else tuple(topic.split(" and "))
            return Reading(rules=rules, warns=said != text, **found)
    raise ValueError(f"no text of this moderation queue: {text!r}")


def without_warning(text: str) -> str:
    """Return a text without the warning it begins with."""
    lead = next((one for one in WARNINGS if text.startswith(one)), "")
    return text.removeprefix(lead)
