"""Calls: a pure function of seed and key, one account and one caller per task, none shared.

What is wrong is drawn, each cause in its proportion, and everything that looks like a cause and is none beside it:
failures from elsewhere, log-ins through the gateway, a missing group that nobody needs, a token a little off.
"""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from random import Random

from turnwright.core.seeding import generator
from turnwright.environments.gallery.login_troubleshooting.caller import OPENINGS, Caller
from turnwright.environments.gallery.login_troubleshooting.diagnosis import Diagnosis, diagnose, is_compromised
from turnwright.environments.gallery.login_troubleshooting.system import MOST_FAILS, LogLine, Registered, System

GIVEN_NAMES = ("Lena", "Mats", "Nora", "Omar", "Pia", "Rune", "Sara", "Tom", "Ulla", "Vito", "Wanda", "Yuri")
FAMILY_NAMES = ("Brandt", "Castro", "Dufour", "Engel", "Falk", "Grimm", "Holm", "Ivanov", "Jung", "Klein", "Lund")
SITES = ("OSL", "BGO", "TRD", "SVG")
CAUSES = (
    ("mend", 62),
    ("impostor", 10),
    ("compromised", 12),
    ("disabled", 6),
    ("lost", 10),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One task: who calls, the system as it is then, and what the procedure finds."""

    opening: str
    caller: Caller
    system: System
    diagnosis: Diagnosis

    @property
    def prompt(self) -> str:
        """Return the task's prompt."""
        return f"login: {self.system.registered.login}\ncaller: {self.caller.name}\n\n{self.opening}"

    @property
    def world_hash(self) -> str:
        """Return a digest of everything about the call."""
        text = repr((asdict(self.caller), asdict(self.system)))
        return blake2b(text.encode(), digest_size=8).hexdigest()


@lru_cache(maxsize=4096)
def make_case(seed: int, key: str) -> Case:
    """Make the case named by seed and key."""
    random = generator("login_troubleshooting", seed, key)
    (cause,) = random.choices([name for name, _ in CAUSES], [weight for _, weight in CAUSES])
    registered = _deal_registered(random, compromised=cause == "compromised")
    caller = _deal_caller(random, registered, cause)
    system = _deal_system(random, registered, caller, cause)
    diagnosis = diagnose(system, genuine=cause != "impostor", at_home=caller.at_home, has_token=caller.has_token)
    return Case(opening=random.choice(OPENINGS), caller=caller, system=system, diagnosis=diagnosis)


def _deal_registered(random: Random, *, compromised: bool) -> Registered:
    given, family = random.choice(GIVEN_NAMES), random.choice(FAMILY_NAMES)
    home = random.choice(SITES)
    terminal = f"T{random.randrange(100, 1000)}"
    while is_compromised(log := _deal_log(random, home, terminal, compromised=compromised)) != compromised:
        pass
    return Registered(
        login=f"{family.upper()}{random.randrange(1, 100):02}",
        name=f"{given} {family}",
        employee_number=str(random.randrange(100000, 1000000)),
        extension=str(random.randrange(1000, 10000)),
        serial=f"{random.randrange(10, 100)}-{random.randrange(1000, 10000)}",
        log=log,
    )


def _deal_log(random: Random, home: str, terminal: str, *, compromised: bool) -> tuple[LogLine, ...]:
    """Deal some days of work at one site, and what else may stand in a journal."""
    today = datetime.fromisoformat("2031-01-06T08:00") + timedelta(days=random.randrange(700))
    elsewhere = random.choice([site for site in SITES if site != home])
    days = [today - timedelta(days=back) for back in range(1, random.choice((4, 5)))]
    lines = [
        LogLine(at=_at(day, minute), event=event, source=terminal, site=home)
        for day in days
        for event, minute in (("LOGON OK", random.randrange(0, 90)), ("LOGOFF", random.randrange(480, 600)))
    ]
    strangers = f"T{random.randrange(100, 1000)}"
    day = random.choice(days)
    at_work = next(line for line in lines if line.event == "LOGON OK" and line.at[:10] == _at(day, 0)[:10])
    arrived = datetime.fromisoformat(at_work.at)
    if compromised:
        after = random.choice((12, 25, 47, 59, 60))
        lines.append(LogLine(at=_at(arrived, after), event="LOGON OK", source=strangers, site=elsewhere))
    # What looks alike and is harmless.
    others = [line for line in days if line != day] or days
    noise = (
        LogLine(at=_at(arrived, random.randrange(5, 55)), event="LOGON FAIL", source=strangers, site=elsewhere),
        LogLine(at=_at(arrived, random.randrange(5, 55)), event="LOGON OK", source=f"VPN{random.randrange(10, 100)}",
                site=elsewhere),
        LogLine(at=_at(random.choice(others), random.choice((200, 300, 400))), event="LOGON OK", source=strangers,
                site=elsewhere),
    )  # fmt: skip
    lines += [line for line in noise if random.random() < 0.6]
    lines += [
        LogLine(at=_at(today, minute), event="LOGON FAIL", source=terminal, site=home)
        for minute in random.sample(range(1, 50), random.randrange(1, 4))
    ]
    return tuple(sorted(lines, key=lambda line: (line.at, line.source), reverse=True))


def _deal_caller(random: Random, registered: Registered, cause: str) -> Caller:
    wrong = str((int(registered.extension) - 1000 + random.randrange(1, 9000)) % 9000 + 1000)
    forgetful = (wrong, registered.extension)
    genuine = forgetful if random.random() < 0.25 else (registered.extension,)
    return Caller(
        name=registered.name,
        employee_number=registered.employee_number,
        extensions=(wrong,) if cause == "impostor" else genuine,
        at_home=random.random() < 0.5,
        has_token=cause != "lost",
        has_old_phone=random.random() < 0.45,
        codes=tuple(f"{random.randrange(1000000):06}" for _ in range(8)),
        style=random.randrange(6),
    )


def _deal_system(random: Random, registered: Registered, caller: Caller, cause: str) -> System:
    account = random.choice(("ok", "locked", "locked", "expired"))
    status = "LOCKED" if account == "locked" else "ACTIVE"
    server_step = random.randrange(4000, 90000)
    off = random.choice((4, 5, 17, 300)) if random.random() < 0.5 else random.choice((0, 1, 2, 3))
    access = random.choice(("ok", "ok", "full", "no_vpn"))
    terminals = random.sample(range(100, 1000), 3)
    num_sessions = 3 if access == "full" else random.randrange(3)
    # Who works in the office needs no such group.
    has_vpn = access != "no_vpn" if caller.at_home else random.random() < 0.6
    return System(
        registered=registered,
        status="DISABLED" if cause == "disabled" else status,
        compromised=cause == "compromised",
        fails=MOST_FAILS if status == "LOCKED" else random.randrange(4),
        password_days=random.choice((91, 92, 120)) if account == "expired" else random.choice((3, 40, 89, 90)),
        server_step=server_step,
        token_step=server_step + off * random.choice((-1, 1)),
        sessions=tuple(f"T{number}" for number in terminals[:num_sessions]),
        device=f"PDA{random.randrange(10, 100)}" if caller.has_old_phone and status == "LOCKED" else None,
        groups=("STAFF", "MAIL", "VPN") if has_vpn else ("STAFF", "MAIL"),
    )


def _at(day: datetime, minute: int) -> str:
    return (day + timedelta(minutes=minute)).isoformat(timespec="minutes")
