"""What is wrong and what follows from it, as functions: facts flow in, the five fields of the answer flow out."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import pairwise

from turnwright.environments.gallery.login_troubleshooting.system import MOST_SESSIONS, LogLine, System

JUMP_MINUTES = 60
UNKNOWN = "unknown"
GUARDED_TOOLS = ("unlock_account", "reset_password", "resync_token", "add_to_group")
"""What nobody may do to an account whose case is handed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """The five scored fields of an answer; what was not to be looked into is unknown."""

    identity: str = "confirmed"
    """confirmed or failed."""
    account: str = UNKNOWN
    """ok, locked, expired, disabled or compromised."""
    token: str = UNKNOWN
    """ok, drifted or lost."""
    access: str = UNKNOWN
    """ok, sessions_full or no_vpn."""
    handed_to: str = "none"
    """none, security, personnel or tokens."""

    def answer(self) -> str:
        """Return the answer block."""
        return f"<final_output>{json.dumps(asdict(self))}</final_output>"


def is_compromised(log: Iterable[LogLine]) -> bool:
    """Return whether somebody logged in at two sites within an hour; the gateway's site says nothing."""
    there = sorted(
        (datetime.fromisoformat(line.at), line.site)
        for line in log
        if line.event == "LOGON OK" and not line.source.startswith("VPN")
    )
    return any(
        site != other and (later - earlier).total_seconds() <= 60 * JUMP_MINUTES
        for (earlier, site), (later, other) in pairwise(there)
    )


def account_of(status: str, *, expired: bool, compromised: bool) -> str:
    """Return what is wrong with an account: the first that fits."""
    if status == "DISABLED":
        return "disabled"
    if compromised:
        return "compromised"
    return "locked" if status == "LOCKED" else "expired" if expired else "ok"


def access_of(num_sessions: int, *, at_home: bool, has_vpn: bool) -> str:
    """Return what keeps a user with a good account and token out."""
    if num_sessions >= MOST_SESSIONS:
        return "sessions_full"
    return "no_vpn" if at_home and not has_vpn else "ok"


def diagnose(system: System, *, genuine: bool, at_home: bool, has_token: bool) -> Diagnosis:
    """Return what the procedure finds, from the state a call begins with."""
    if not genuine:
        return Diagnosis(identity="failed", handed_to="security")
    compromised = is_compromised(system.registered.log)
    account = account_of(system.status, expired=system.expired, compromised=compromised)
    if account in ("disabled", "compromised"):
        return Diagnosis(account=account, handed_to="personnel" if account == "disabled" else "security")
    if not has_token:
        return Diagnosis(account=account, token="lost", handed_to="tokens")
    return Diagnosis(
        account=account,
        token="drifted" if system.drifted else "ok",
        access=access_of(len(system.sessions), at_home=at_home, has_vpn="VPN" in system.groups),
    )


def right_calls(login: str, found: Diagnosis) -> dict[str, list[dict[str, str]]]:
    """Return, by tool, the calls that a diagnosis settles: who gets the case, and what must be left alone.

    How often an account has to be unlocked or a code read again is up to the call, so such tools are not named.
    """
    if found.handed_to != "none":
        given = {"hand_over": [{"login": login, "team": found.handed_to}]}
        return {**given, **{name: [] for name in GUARDED_TOOLS}}
    vpn = [{"login": login, "group": "VPN"}] if found.access == "no_vpn" else []
    return {"hand_over": [], "add_to_group": vpn}
