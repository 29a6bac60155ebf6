"""The caller: says what they know when asked, does what they are told, and changes the system by it.

What the agent writes is searched for requests by the words people use; all that are found are answered, in order.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from turnwright.environments.gallery.login_troubleshooting.system import System, attempt

MOST_PUZZLES = 3
"""Messages without a request that a caller listens to."""

REFUSALS = re.compile(r"\b(?:do not|don.t|never|no need to|instead of)\s+\w+", re.IGNORECASE)
REQUESTS: Mapping[str, re.Pattern[str]] = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "identity": r"employee number|staff number|personnel number|\bextension\b|who you are|\bidentify\b",
        "place": r"\bwhere\b|\b(at|from) home\b|\boffice\b|\bremote(ly)?\b|\bon site\b|\blocation\b",
        "token": r"\b(have|got|hold|lost|find)\b[^.?!]{0,30}\btoken\b|\btoken\b[^.?!]{0,30}\b(with you|lost)\b",
        "code": r"\bcode\b|\bdigits?\b|\bread\b[^.?!]{0,30}\btoken\b|\bnumber (on|of|from)\b[^.?!]{0,20}\btoken\b",
        "devices": r"\b(old|other|another|second)\b[^.?!]{0,20}\b(phone|mobile|tablet|device)s?\b",
        "switch_off": r"\b(switch|turn|shut|power)\b[^.?!]{0,30}\b(off|down)\b|\bunplug\b",
        "wait": r"\bmoment\b|\bwait\b|\bhold on\b|\bpatience\b|\bminute\b",
        "error": r"\berror\b|\bmessage\b|\bwhat do you see\b|\bwhat happens\b",
        "try": r"\btry\b|\bretry\b|\battempt\b|\b(log|sign)[ -]?(in|on) (now|again|once more)\b"
        r"|\b(please|if you can) (log|sign)[ -]?(in|on)\b|\bdid (it|that) work\b|\b(are you|did you get) in\b",
    }.items()
}
DONE_BY: Mapping[str, str] = {"error": "try", "devices": "switch_off"}
"""Questions that are answered by doing what was asked for as well."""

OPENINGS = (
    "I cannot get in. It worked last week.",
    "The system does not let me in any more, and I have a meeting soon.",
    "Good morning. Something is wrong with my log-in.",
    "I think my password is broken. Can you please just reset it?",
    "My colleague says I only have to be unlocked. Could you do that?",
    "It refuses me again and again. What is going on?",
)
PUZZLED = (
    "Sorry, I do not follow. What should I do?",
    "I am no expert. What exactly do you want me to do or to tell you?",
    "Hm. And what do I do now?",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """What a caller knows and has; nothing of it changes but what was asked before."""

    name: str
    employee_number: str
    extensions: tuple[str, ...]
    """What they say when asked for the first time, the second time, and so on; the last from then on."""
    at_home: bool
    has_token: bool
    has_old_phone: bool
    codes: tuple[str, ...]
    """What the token shows, one after the other."""
    style: int
    """Chooses between ways to put things."""
    asked_identity: int = 0
    codes_read: int = 0
    puzzled: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of one message to the caller."""

    caller: Caller
    system: System
    text: str
    hangs_up: bool = False


def requests_in(text: str) -> tuple[str, ...]:
    """Return what a message asks for.

    >>> requests_in("Please don't try yet. Are you at home?")
    ('place',)
    """
    wanted = REFUSALS.sub(" ", text)
    found = tuple(name for name, pattern in REQUESTS.items() if pattern.search(wanted))
    # Who does a thing tells what came of it.
    return tuple(name for name in found if DONE_BY.get(name) not in found)


def answer(caller: Caller, system: System, text: str) -> Answer:
    """Let the caller react to a message."""
    requests = requests_in(text)
    if not requests:
        caller = replace(caller, puzzled=caller.puzzled + 1)
        said = PUZZLED[(caller.style + caller.puzzled) % len(PUZZLED)]
        return Answer(caller=caller, system=system, text=said, hangs_up=caller.puzzled >= MOST_PUZZLES)
    parts: list[str] = []
    for request in requests:
        caller, system, said = _react(caller, system, request)
        parts.append(said)
    return Answer(caller=caller, system=system, text=" ".join(parts))


def _react(caller: Caller, system: System, request: str) -> tuple[Caller, System, str]:
    if request == "identity":
        extension = caller.extensions[min(caller.asked_identity, len(caller.extensions) - 1)]
        caller = replace(caller, asked_identity=caller.asked_identity + 1)
        return caller, system, f"I am {caller.name}, employee number {caller.employee_number}, extension {extension}."
    if request == "code":
        return _read_code(caller, system)
    if request == "switch_off":
        if caller.has_old_phone:
            system = replace(system, device=None)
            return caller, system, "Ah, my old phone still had my mail on it. It is off now."
        return caller, system, "There is nothing else that is on, only this computer."
    if request in ("try", "error"):
        return _try(caller, system)
    home, desk = ("I am at home today.", "I work from home."), ("I am in the office.", "At my desk in the office.")
    said = {
        "place": home if caller.at_home else desk,
        "devices": ("My old phone still has my mail on it.", "There is my old phone with my mail on it.")
        if caller.has_old_phone
        else ("No, only this computer.", "There is nothing else that is on."),
        "token": ("Yes, the token is here.", "I have it in my hand.")
        if caller.has_token
        else ("I lost the token on the tram.", "No, I cannot find the token anywhere."),
        "wait": ("All right.", "Fine, I am waiting."),
    }[request]
    return caller, system, said[caller.style % 2]


def _read_code(caller: Caller, system: System) -> tuple[Caller, System, str]:
    if not caller.has_token:
        return caller, system, "I have no token to read a code from, I lost it."
    code = caller.codes[caller.codes_read % len(caller.codes)]
    caller = replace(caller, codes_read=caller.codes_read + 1)
    return caller, replace(system, code=code, code_age=0), f"It shows {code[:3]} {code[3:]}."


def _try(caller: Caller, system: System) -> tuple[Caller, System, str]:
    if system.inside:
        return caller, system, "I am in already."
    system, error = attempt(system, at_home=caller.at_home, has_token=caller.has_token)
    if not error:
        return caller, system, "It worked, I am in!"
    return caller, system, f"No. It says error {error}."
