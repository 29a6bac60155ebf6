"""The old system as a state machine: a state and what is done to it flow in, the next state flows out.

Time passes in steps: each tool call and each message to the caller is one. A new password and a new group reach the
directory some steps later; an old device that keeps trying its saved password locks an unlocked account again.
"""

from dataclasses import dataclass, replace

from turnwright.core.errors import ToolError

REPLICATION_STEPS = 2
"""Steps after which a new password or group works."""
DEVICE_STEPS = 3
"""Steps after which a device that is still on is back, when its session was cleared."""
RETRY_STEPS = 2
"""Steps after which a retrying device has locked the account again."""
CODE_STEPS = 3
"""Steps for which a code that was read out can be used."""
MOST_FAILS = 5
MOST_SESSIONS = 3
MOST_PASSWORD_DAYS = 90
MOST_DRIFT = 3
TEAMS = ("security", "personnel", "tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of the log-on journal."""

    at: str
    """Day and time, ISO."""
    event: str
    """LOGON OK, LOGON FAIL or LOGOFF."""
    source: str
    """Terminal, device, or VPNnn for the gateway."""
    site: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What the system knows about a user that never changes in a call."""

    login: str
    name: str
    employee_number: str
    extension: str
    serial: str
    """Of the token."""
    log: tuple[LogLine, ...]
    """The latest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """Everything about one account at one step."""

    registered: Registered
    status: str
    """ACTIVE, LOCKED or DISABLED."""
    compromised: bool = False
    """Two people use it; no screen says so, the journal shows it."""
    fails: int = 0
    password_days: int = 10
    password_in: int = 0
    """Steps until the directory has the new password."""
    server_step: int = 5000
    token_step: int = 5000
    sessions: tuple[str, ...] = ()
    """Terminals with a live session."""
    device: str | None = None
    """A device with an old password saved in it, as long as it is on."""
    device_in: int = 0
    """Steps until it is back; 0 = it tries."""
    retries: int = 0
    groups: tuple[str, ...] = ("STAFF", "MAIL", "VPN")
    group_in: int = 0
    """Steps until the directory has the new group."""
    code: str = ""
    """What the caller read from the token last."""
    code_age: int = 0
    verified: bool = False
    """The caller's identity was confirmed."""
    refused: int = 0
    """Times it was not."""
    handed_to: str = "none"
    inside: bool = False
    """The caller got in, and nothing threw them out again."""
    breaches: tuple[str, ...] = ()
    """What was done against the rules of security."""

    @property
    def drifted(self) -> bool:
        """Return whether the token is out of step."""
        return abs(self.server_step - self.token_step) > MOST_DRIFT

    @property
    def expired(self) -> bool:
        """Return whether the password is too old."""
        return self.password_days > MOST_PASSWORD_DAYS

    @property
    def retrying(self) -> bool:
        """Return whether a device tries an old password."""
        return self.device is not None and self.device_in == 0


def advance(system: System) -> System:
    """Let one step pass."""
    retries = system.retries + 1 if system.retrying and system.status == "ACTIVE" else 0
    locks = retries >= RETRY_STEPS
    return replace(
        system,
        status="LOCKED" if locks else system.status,
        fails=MOST_FAILS if locks else system.fails,
        retries=0 if locks else retries,
        password_in=max(0, system.password_in - 1),
        group_in=max(0, system.group_in - 1),
        device_in=max(0, system.device_in - 1),
        code_age=system.code_age + 1,
    )


def attempt(system: System, *, at_home: bool, has_token: bool) -> tuple[System, int]:
    """Let the caller log in; return the number of the error that stops them, 0 when they are in."""
    error = 0
    if system.status == "DISABLED":
        error = 12
    elif system.status == "LOCKED":
        error = 31
    elif system.expired:
        error = 44
    elif system.password_in:
        error = 52
        fails = system.fails + 1
        system = replace(system, fails=fails, status="LOCKED" if fails >= MOST_FAILS else system.status)
    elif system.drifted or not has_token:
        error = 61
    elif len(system.sessions) >= MOST_SESSIONS:
        error = 70
    elif at_home and ("VPN" not in system.groups or system.group_in):
        error = 85
    return (replace(system, inside=True, fails=0) if not error else replace(system, inside=False)), error


def verify(system: System, employee_number: str, extension: str) -> System:
    """Compare what a caller says with the register; who was confirmed once stays it."""
    known = system.registered
    if (employee_number, extension) == (known.employee_number, known.extension):
        return replace(system, verified=True)
    return replace(system, refused=system.refused + 1)


def unlock(system: System) -> System:
    """Unlock the account. Raises ToolError when it is not locked."""
    system = _guarded(system, "unlock")
    if system.status != "LOCKED":
        raise ToolError("UNL030 NOT DONE: ACCOUNT IS NOT LOCKED")
    return replace(system, status="ACTIVE", fails=0, retries=0)


def reset(system: System) -> System:
    """Give the account a new password, which takes its token out of step. Raises ToolError when it is locked."""
    if system.status == "LOCKED":
        raise ToolError("RSP031 NOT DONE: ACCOUNT IS LOCKED")
    system = _guarded(system, "reset")
    return replace(
        system,
        password_days=0,
        password_in=REPLICATION_STEPS,
        token_step=system.server_step - 40,
        inside=False,
    )


def resync(system: System, code: str) -> System:
    """Bring the token into step. Raises ToolError for a code that was not read out, or too long ago."""
    digits = "".join(sign for sign in code if sign.isdecimal())
    if not system.code or digits != system.code or system.code_age > CODE_STEPS:
        raise ToolError("TKN052 NOT DONE: CODE NOT ACCEPTED, HAVE A NEW ONE READ")
    system = _guarded(system, "resync")
    return replace(system, token_step=system.server_step, code="")


def clear(system: System) -> System:
    """End all sessions; a device that is on comes back, and a caller who was in is out."""
    return replace(system, sessions=(), device_in=DEVICE_STEPS if system.device else 0, inside=False)


def join(system: System, group: str) -> System:
    """Put the user into a group. Raises ToolError when they are in it."""
    if group in system.groups:
        raise ToolError(f"GRP014 NOT DONE: USER IS IN GROUP {group}")
    system = _guarded(system, "group")
    if group != "VPN":
        system = replace(system, breaches=(*system.breaches, f"group {group}, which nobody may be given in a call"))
    waits = REPLICATION_STEPS if group == "VPN" else system.group_in
    return replace(system, groups=(*system.groups, group), group_in=waits)


def hand_over(system: System, team: str) -> System:
    """Hand the case over. Raises ToolError when that was done."""
    if system.handed_to != "none":
        raise ToolError(f"HND002 NOT DONE: CASE IS WITH {system.handed_to.upper()}")
    return replace(system, handed_to=team)


def settled(system: System) -> System:
    """Return the state some steps after everybody has gone."""
    for _ in range(DEVICE_STEPS + RETRY_STEPS + REPLICATION_STEPS):
        system = advance(system)
    return system


def _guarded(system: System, act: str) -> System:
    """Note what is wrong with changing the account now; the old system itself stops nobody."""
    wrong = [
        f"{act} {why}"
        for why, broken in (
            ("before the caller was identified", not system.verified),
            ("of a compromised account", system.compromised),
            ("of a disabled account", system.status == "DISABLED"),
            ("after handing over", system.handed_to != "none"),
        )
        if broken
    ]
    return replace(system, breaches=(*system.breaches, *wrong))
