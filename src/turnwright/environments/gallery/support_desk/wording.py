"""How customers put it: tickets written in many words, and what they ask for read back out of them."""

from collections.abc import Mapping
from random import Random

from turnwright.environments.gallery.support_desk.rules import PLANS, Request

ITEMS = ("kettle", "desk lamp", "headphones", "backpack", "coffee grinder", "keyboard", "rain jacket", "bike light")

GREETINGS = ("Hello,", "Hi there,", "Good morning,", "Dear team,", "To whom it may concern,")
ASIDES = (
    "The {other} from last time is lovely, by the way.",
    "I am not writing about the {other}, that one is fine.",
    "My sister has ordered the {other} as well and is happy with it.",
)
PLEAS = (
    "Please sort this out today.",
    "I have been a customer for years, so I expect some goodwill.",
    "Thank you for your help.",
    "A colleague of yours told me this would be no problem.",
    "If this takes much longer I will write a review about it.",
    "",
)

FAULTY = (
    "The {item} stopped working, and I want my money back.",
    "My {item} arrived with a crack right through it. Please refund me.",
    "I have to return the {item}: it was broken when I opened the box.",
    "The {item} does not do what it should any more. I ask for a refund because of the defect.",
)
UNWANTED = (
    "I have changed my mind about the {item} and would like my money back.",
    "The {item} is not my taste after all. Please take it back and refund me.",
    "I found a nicer one elsewhere, so I want to return the {item} for a refund.",
    "We do not need the {item} any more. I would like to send it back and be refunded.",
)
WHERE = (
    "Where is my {item}?",
    "I am still waiting for the {item}. Can you tell me what happened to it?",
    "According to you the {item} was sent. When does it come?",
    "Could you look up how far the {item} has got?",
)
CHANGE = (
    "Please move me to the {plan} plan.",
    "I would like to have the {plan} plan from now on.",
    "Can you put my account on the {plan} plan?",
)
CANCEL = (
    "I want to cancel my subscription.",
    "Please end my plan, I no longer use it.",
    "Take me off the subscription, please.",
)
LINES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("refund", "faulty"): FAULTY,
    ("refund", "unwanted"): UNWANTED,
    ("delivery", ""): WHERE,
    ("plan", ""): (*CHANGE, *CANCEL),
}


def write(random: Random, request: Request) -> str:
    """Return the prompt: the ticket's head, then what the customer wrote."""
    choices = LINES[request.kind, request.reason]
    if request.kind == "plan":
        choices = CANCEL if request.plan == "none" else CHANGE
    said = [random.choice(choices).format(item=request.item, plan=request.plan)]
    if random.random() < 0.4:
        other = random.choice([item for item in ITEMS if item != request.item])
        said.insert(random.randrange(2), random.choice(ASIDES).format(other=other))
    text = " ".join(part for part in (*said, random.choice(PLEAS)) if part)
    # People write their address as they like.
    email = request.email if random.random() < 0.6 else request.email.title()
    head = f"ticket: {request.ticket}\nname: {request.name}\nemail: {email}\nreceived_on: {request.received_on}"
    return f"{head}\n\n{random.choice(GREETINGS)}\n{text}\n{request.name}"


def read(prompt: str) -> Request:
    """Return what a ticket asks for.

    Raises ValueError when no line of it is one that ``write`` may write.
    """
    head, _, text = prompt.partition("\n\n")
    known = dict(line.split(": ", 1) for line in head.splitlines())
    for (kind, reason), lines in LINES.items():
        for line in lines:
            for word in PLANS if kind == "plan" else ITEMS:
                if line.format(item=word, plan=word) in text:
                    return Request(
                        ticket=int(known["ticket"]),
                        name=known["name"],
                        email=known["email"],
                        received_on=known["received_on"],
                        kind=kind,
                        item="" if kind == "plan" else word,
                        reason=reason,
                        # A cancellation names no plan, so the first word fits.
                        plan="" if kind != "plan" else "none" if line in CANCEL else word,
                    )
    raise ValueError(f"no line of the ticket says what is wanted: {text!r}")
