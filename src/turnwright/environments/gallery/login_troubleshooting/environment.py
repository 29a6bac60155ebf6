"""LoginTroubleshooting: an old system behind eleven tools, a caller who answers, and rules that must not be broken."""

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Literal

from turnwright.core.episode import Episode
from turnwright.core.errors import ToolError
from turnwright.core.message import Message
from turnwright.core.seeding import generator
from turnwright.core.task import Split, Task
from turnwright.environments.answers import REASONING_END, final_answer, right_share
from turnwright.environments.base import Done, Environment
from turnwright.environments.gallery.login_troubleshooting import system as old
from turnwright.environments.gallery.login_troubleshooting.caller import answer
from turnwright.environments.gallery.login_troubleshooting.diagnosis import access_of, right_calls
from turnwright.environments.gallery.login_troubleshooting.generator import Case, make_case
from turnwright.environments.gallery.login_troubleshooting.procedure import PROCEDURE
from turnwright.environments.gallery.login_troubleshooting.screens import (
    account_screen,
    log_screen,
    session_screen,
    token_screen,
)
from turnwright.environments.gallery.login_troubleshooting.technician import Habits, take_call
from turnwright.environments.gallery.sizes import split_sizes
from turnwright.environments.rewards import with_format
from turnwright.environments.scripts import Script
from turnwright.environments.tools import tool

LOGIN_LINE = re.compile(r"^login: (\S+)$", re.MULTILINE)


class LoginTroubleshooting(Environment):
    """Get a caller in, or hand the case to whom it belongs, without breaking a rule of security."""

    instructions = PROCEDURE
    typical_turns = 15

    def __init__(
        self, *, train_tasks: int = 600, validation_tasks: int = 60, test_tasks: int = 180, seed: int = 0
    ) -> None:
        """Take the number of tasks per split and the seed of their worlds."""
        self._sizes = split_sizes(
            "login_troubleshooting", train=train_tasks, validation=validation_tasks, test=test_tasks
        )
        self._seed = seed

    def tasks(self, split: Split) -> Iterator[Task]:
        """Yield the tasks of a split; calls are made up when they are asked for."""
        for index in range(self._sizes[split]):
            key = f"{split}-{index}"
            case = make_case(self._seed, key)
            yield Task(
                id=f"login-{self._seed}-{key}",
                prompt=case.prompt,
                data={
                    "key": key,
                    "gold": asdict(case.diagnosis),
                    "gold_calls": right_calls(case.system.registered.login, case.diagnosis),
                },
                split=split,
                cluster=case.world_hash,
            )

    def open(self, task: Task, seed: int) -> None:
        """Begin a call."""
        super().open(task, seed)
        case = make_case(self._seed, task.data["key"])
        self._system, self._caller = case.system, case.caller

    @tool
    def show_account(self, login: str) -> str:
        """Show an account: status, failed attempts, age of the password and groups.

        Args:
            login: The user's login, such as HOLM07.
        """
        return account_screen(self._step(login))

    @tool
    def show_log(self, login: str, page: int = 1) -> str:
        """Show one page of the log-on journal, the latest line first.

        Args:
            login: The user's login.
            page: Number of the page, from 1.
        """
        return log_screen(self._step(login), page)

    @tool
    def show_token(self, login: str) -> str:
        """Show the steps that the server and the token are at.

        Args:
            login: The user's login.
        """
        return token_screen(self._step(login))

    @tool
    def show_sessions(self, login: str) -> str:
        """Show the open sessions of a user.

        Args:
            login: The user's login.
        """
        return session_screen(self._step(login))

    @tool
    def verify_identity(self, login: str, employee_number: str, extension: str) -> str:
        """Compare what a caller says with the register.

        Args:
            login: The user's login.
            employee_number: Six digits.
            extension: Four digits.
        """
        refused = self._step(login).refused
        self._do(lambda system: old.verify(system, employee_number.strip(), extension.strip()))
        if self._system.refused > refused:
            return f"IDV011  NO MATCH  USER {login}  TIME {self._system.refused}"
        return f"IDV010  IDENTITY CONFIRMED  USER {login}"

    @tool
    def unlock_account(self, login: str) -> str:
        """Unlock a locked account.

        Args:
            login: The user's login.
        """
        self._step(login)
        self._do(old.unlock)
        return f"UNL010  DONE  USER {login} ACTIVE"

    @tool
    def reset_password(self, login: str) -> str:
        """Give an account a new password, which is told to the caller.

        Args:
            login: The user's login.
        """
        self._step(login)
        self._do(old.reset)
        return f"RSP010  DONE  USER {login}  DIRECTORY IN {old.REPLICATION_STEPS} STEPS"

    @tool
    def resync_token(self, login: str, code: str) -> str:
        """Bring a token into step.

        Args:
            login: The user's login.
            code: The six digits the token shows.
        """
        self._step(login)
        self._do(lambda system: old.resync(system, code))
        return f"TKN050  DONE  USER {login} IN STEP"

    @tool
    def clear_sessions(self, login: str) -> str:
        """End all sessions of a user.

        Args:
            login: The user's login.
        """
        ended = len(self._step(login).sessions)
        self._do(old.clear)
        return f"SES120  DONE  USER {login}  {ended:02} ENDED"

    @tool
    def add_to_group(self, login: str, group: Literal["STAFF", "MAIL", "VPN", "FINANCE"]) -> str:
        """Put a user into a group.

        Args:
            login: The user's login.
            group: The group.
        """
        self._step(login)
        self._do(lambda system: old.join(system, group))
        return f"GRP010  DONE  USER {login} IN {group}  DIRECTORY IN {old.REPLICATION_STEPS} STEPS"

    @tool
    def hand_over(self, login: str, team: Literal["security", "personnel", "tokens"]) -> str:
        """Hand the case over to another team.

        Args:
            login: The user's login.
            team: Whose it is from now on.
        """
        self._step(login)
        self._do(lambda system: old.hand_over(system, team))
        return f"HND001  DONE  CASE OF {login} WITH {team.upper()}"

    def respond(self, reply: Message) -> list[Message] | Done:
        """Say what the caller answers; the call ends with an answer block, with silence, and when they hang up."""
        said = REASONING_END.split(reply.content)[-1].strip()
        if not said or "<final_output>" in said:
            return Done()
        heard = answer(self._caller, old.advance(self._system), said)
        self._caller, self._system = heard.caller, heard.system
        return Done() if heard.hangs_up else [Message(role="user", content=heard.text)]

    def reward(self, episode: Episode) -> dict[str, float]:
        """Return half for what became of the case and half for the fields of the answer.

        The case is a share: of what had to be mended and the caller being in, or all or nothing where it had to be
        handed over. A breach of a rule of security makes everything 0; no readable answer costs 0.1.
        """
        reply = final_answer(episode)
        case = make_case(self._seed, episode.task.data["key"])
        fields = right_share(reply, episode.task.data["gold"])
        mended, secure = _mended(case, self._system), not self._system.breaches
        earned = {
            "total": (mended + fields) / 2 if secure else 0.0,
            "case": mended,
            "fields": fields,
            "secure": float(secure),
        }
        return with_format(earned, emitted=reply is not None)

    def oracle(self, task: Task) -> Script:
        """Follow the procedure to the letter."""
        return take_call(_login(task), Habits())

    def hasty_technician(self, task: Task, seed: int) -> Script:
        """Work as a technician whose habits, each of which rests now and then, are drawn per task and seed.

        One page of the journal is read, ACTIVE is taken at its word, old devices stay on, callers are believed, and a
        reset is left at that.
        """
        random = generator("login_troubleshooting.hasty_technician", seed, task.id)
        page, status, devices, believes, forgets = (random.random() < 0.8 for _ in range(5))
        habits = Habits(
            reads_one_page=page,
            trusts_status=status,
            leaves_devices_on=devices,
            believes_callers=believes,
            forgets_resync=forgets,
        )
        return take_call(_login(task), habits)

    def _step(self, login: str) -> old.System:
        """Let a step pass for a tool call, and return the state the tool finds."""
        self._system = old.advance(self._system)
        if login != self._system.registered.login:
            raise ToolError(f"LGN404 NO USER {login}")
        return self._system

    def _do(self, change: Callable[[old.System], old.System]) -> None:
        self._system = change(self._system)


def _login(task: Task) -> str:
    (login,) = LOGIN_LINE.findall(task.prompt)
    return login


def _mended(case: Case, left: old.System) -> float:
    """Return how much of a case is done, some steps after the call has ended."""
    system, found = old.settled(left), case.diagnosis
    if found.handed_to != "none" or system.handed_to != "none":
        return float(system.handed_to == found.handed_to)
    account = system.status == "ACTIVE" and not system.expired
    access = access_of(len(system.sessions), at_home=case.caller.at_home, has_vpn="VPN" in system.groups)
    parts = [system.inside and account]
    parts += [account] if found.account != "ok" else []
    parts += [not system.drifted] if found.token != "ok" else []
    parts += [access == "ok"] if found.access != "ok" else []
    return sum(parts) / len(parts)
