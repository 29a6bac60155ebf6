"""Technicians: scripts that take a call, reading screens and listening to the caller alone."""

import json
import re
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TypeVar

from turnwright.core.message import Message
from turnwright.environments.gallery.login_troubleshooting.diagnosis import (
    Diagnosis,
    access_of,
    account_of,
    is_compromised,
)
from turnwright.environments.gallery.login_troubleshooting.system import MOST_DRIFT, MOST_PASSWORD_DAYS, LogLine
from turnwright.environments.scripts import Script, call, say

Result = TypeVar("Result")
Part = Generator[Message, tuple[Message, ...], Result]
"""Part of a script that finds something out."""

ASK_IDENTITY = "Hello! Please tell me your employee number and your extension."
ASK_AGAIN = "That does not match. Please check your employee number and your extension again."
ASK_TOKEN = "Thank you. Do you have your token with you, and where are you working today?"
LOG_LINE = re.compile(r"^(\d\d)(\d\d) (\d\d)(\d\d)  (\S+(?: \S+)?) +(\S+) +(\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What a technician does against the procedure."""

    reads_one_page: bool = False
    trusts_status: bool = False
    """Overlooks that a password of an active account is too old."""
    leaves_devices_on: bool = False
    believes_callers: bool = False
    """Goes on after the second mismatch as if there had been none."""
    forgets_resync: bool = False
    """Does not resync a token that a reset took out of step."""


def take_call(login: str, habits: Habits) -> Script:
    """Take a call from the first question to the answer."""
    confirmed = yield from _identify(login)
    if not confirmed and not habits.believes_callers:
        yield from _see("hand_over", login=login, team="security")
        yield say(Diagnosis(identity="failed", handed_to="security").answer())
        return
    found, retrying = yield from _find(login, habits)
    if found.handed_to != "none":
        yield from _see("hand_over", login=login, team=found.handed_to)
    else:
        yield from _mend(login, found, retrying, habits)
    yield say(found.answer())


def _identify(login: str) -> Part[bool]:
    """Ask who calls, twice where needed."""
    for question in (ASK_IDENTITY, ASK_AGAIN):
        (reply,) = yield say(question)
        number, extension = re.findall(r"\d+", reply.content)
        screen = yield from _see("verify_identity", login=login, employee_number=number, extension=extension)
        if "IDENTITY CONFIRMED" in screen:
            return True
    return False


def _find(login: str, habits: Habits) -> Part[tuple[Diagnosis, bool]]:
    """Find out what is wrong, and whether a device keeps trying."""
    screen = yield from _see("show_account", login=login)
    status, groups = _entry(screen, "STATUS"), _entry(screen, "GROUPS").split(",")
    log = yield from _read_log(login, habits)
    expired = not habits.trusts_status and int(_entry(screen, "PWD AGE")) > MOST_PASSWORD_DAYS
    account = account_of(status, expired=expired, compromised=is_compromised(log))
    found = Diagnosis(account=account)
    if account in ("disabled", "compromised"):
        return replace(found, handed_to="personnel" if account == "disabled" else "security"), False
    (reply,) = yield say(ASK_TOKEN)
    if "lost" in reply.content or "cannot find" in reply.content:
        return replace(found, token="lost", handed_to="tokens"), False
    screen = yield from _see("show_token", login=login)
    drift = abs(int(_entry(screen, "SERVER STEP")) - int(_entry(screen, "TOKEN  STEP")))
    screen = yield from _see("show_sessions", login=login)
    at_home = "home" in reply.content
    access = access_of(screen.count("LIVE"), at_home=at_home, has_vpn="VPN" in groups)
    return replace(found, token="drifted" if drift > MOST_DRIFT else "ok", access=access), "RETRY" in screen


def _mend(login: str, found: Diagnosis, retrying: bool, habits: Habits) -> Part[None]:
    """Mend what is wrong and have the caller try."""
    waits = 0
    if found.access == "no_vpn":
        yield from _see("add_to_group", login=login, group="VPN")
        waits = 2
    if found.access == "sessions_full":
        yield from _see("clear_sessions", login=login)
        waits -= 1
    if found.account == "locked":
        if retrying and not habits.leaves_devices_on:
            yield say("Please switch off every other device that has your mail on it, such as an old phone.")
            waits -= 1
        yield from _see("unlock_account", login=login)
        waits -= 1
    if found.account == "expired":
        yield from _see("reset_password", login=login)
        waits = 2
    if found.token == "drifted" or (found.account == "expired" and not habits.forgets_resync):
        (reply,) = yield say("Please read me the code that your token shows.")
        yield from _see("resync_token", login=login, code="".join(re.findall(r"\d", reply.content)))
        waits -= 2
    for _ in range(waits - 1):
        yield say("It takes a moment until everything knows of it.")
    yield say("Please try to log in now.")


def _read_log(login: str, habits: Habits) -> Part[list[LogLine]]:
    """Read the journal's pages."""
    lines: list[LogLine] = []
    page = pages = 1
    while page <= pages:
        screen = yield from _see("show_log", login=login, page=page)
        for day, month, hour, minute, event, source, site in LOG_LINE.findall(screen):
            # Only minutes between lines count, and a leap year has every day.
            at = f"2032-{month}-{day}T{hour}:{minute}"
            lines.append(LogLine(at=at, event=event, source=source, site=site))
        pages = 1 if habits.reads_one_page else int(screen.split("PAGE ")[1][3:5])
        page += 1
    return lines


def _see(name: str, /, **arguments: object) -> Part[str]:
    """Call a tool and return its screen; an error is one as well."""
    (message,) = yield call(name, **arguments)
    try:
        return str(json.loads(message.content)["error"])
    except ValueError:
        return message.content


def _entry(screen: str, name: str) -> str:
    return screen.split(name, 1)[1].split()[0]
