"""The old system step by step, what callers understand, what the journal proves, and that a breach costs everything."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.audit.play import find_difference, play
from turnwright.core.episode import Episode
from turnwright.core.errors import ConfigError, ToolError
from turnwright.core.message import Message
from turnwright.core.outcome import Failed
from turnwright.core.task import Split, Task
from turnwright.environments import call, load_environment, say
from turnwright.environments.gallery.login_troubleshooting import system as old
from turnwright.environments.gallery.login_troubleshooting.caller import OPENINGS, Caller, answer, requests_in
from turnwright.environments.gallery.login_troubleshooting.diagnosis import (
    GUARDED_TOOLS,
    Diagnosis,
    diagnose,
    is_compromised,
)
from turnwright.environments.gallery.login_troubleshooting.environment import LoginTroubleshooting
from turnwright.environments.gallery.login_troubleshooting.generator import Case, make_case
from turnwright.environments.gallery.login_troubleshooting.procedure import PROCEDURE
from turnwright.environments.gallery.login_troubleshooting.screens import account_screen, log_screen, session_screen
from turnwright.environments.gallery.login_troubleshooting.system import LogLine, Registered, System, advance
from turnwright.environments.gallery.login_troubleshooting.technician import Habits, take_call
from turnwright.environments.scripts import Script, numbered
from turnwright.evaluation.calls import CallsScorer
from turnwright.evaluation.scorers import FinalOutputScorer, collect_vocabulary

HELP = LoginTroubleshooting(train_tasks=70, validation_tasks=10, test_tasks=20)
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
ALL = [task for split in SPLITS for task in HELP.tasks(split)]

REGISTERED = Registered(
    login="HOLM07", name="Nora Holm", employee_number="123456", extension="7000", serial="10-2000", log=()
)
GOOD = System(registered=REGISTERED, status="ACTIVE", verified=True)
CALLER = Caller(
    name="Nora Holm",
    employee_number="123456",
    extensions=("7000",),
    at_home=False,
    has_token=True,
    has_old_phone=True,
    codes=("111222", "333444"),
    style=0,
)

Step = Callable[[System], System]


def after(system: System, *steps: Step) -> System:
    """Return the state after so many steps, as tools take them: time passes, then something is done."""
    for step in steps:
        system = step(advance(system))
    return system


def nothing(system: System) -> System:
    return system


def error_of(system: System, **changes: Any) -> int:
    return old.attempt(system, **{"at_home": False, "has_token": True, **changes})[1]


def case_of(task: Task) -> Case:
    return make_case(0, task.data["key"])


def played(task: Task, script: Script) -> Episode:
    return asyncio.run(play(HELP, task, script, seed=0))


def outcome_of(task: Task, script: Script) -> Mapping[str, float]:
    outcome = played(task, script).outcome
    assert not isinstance(outcome, Failed)
    return {"total": outcome.value, **outcome.components}


def by(task: Task, **habits: bool) -> Script:
    return numbered(take_call(case_of(task).system.registered.login, Habits(**habits)))


def with_steps(task: Task, *first: Message) -> Script:
    """Do something before the oracle's solution."""
    yield from numbered(first)
    script, followed = HELP.scripted("oracle")(task, 0), None
    while True:
        try:
            followed = yield (script.send(followed) if followed is not None else next(script))
        except StopIteration:
            return


@pytest.mark.parametrize(
    ("changes", "caller", "error"),
    [
        ({}, {}, 0),
        ({"status": "DISABLED"}, {}, 12),
        ({"status": "LOCKED", "password_days": 91}, {}, 31),
        ({"password_days": 91}, {}, 44),
        ({"password_days": 90}, {}, 0),
        ({"password_in": 1, "token_step": 0}, {}, 52),
        ({"token_step": 5004}, {}, 61),
        ({"token_step": 4997}, {}, 0),
        ({}, {"has_token": False}, 61),
        ({"sessions": ("T1", "T2", "T3")}, {"at_home": True}, 70),
        ({"sessions": ("T1", "T2")}, {}, 0),
        ({"groups": ("STAFF",)}, {"at_home": True}, 85),
        ({"groups": ("STAFF",)}, {}, 0),
        ({"group_in": 1}, {"at_home": True}, 85),
    ],
)
def test_the_first_thing_in_the_way_gives_the_error(
    changes: Mapping[str, Any], caller: Mapping[str, Any], error: int
) -> None:
    system, said = old.attempt(replace(GOOD, **changes), **{"at_home": False, "has_token": True, **caller})
    assert said == error
    assert system.inside == (error == 0)


def test_a_new_password_works_two_steps_later_and_takes_the_token_out_of_step() -> None:
    system = after(replace(GOOD, password_days=100), old.reset)
    assert (system.password_days, error_of(system), error_of(after(system, nothing))) == (0, 52, 52)
    assert error_of(after(system, nothing, nothing)) == 61
    early = after(system, lambda one: old.attempt(one, at_home=False, has_token=True)[0])
    assert (early.fails, early.status) == (1, "ACTIVE")
    assert old.attempt(replace(system, fails=4), at_home=False, has_token=True)[0].status == "LOCKED"
    with pytest.raises(ToolError, match="RSP031 NOT DONE: ACCOUNT IS LOCKED"):
        old.reset(replace(GOOD, status="LOCKED"))


def test_a_device_left_on_locks_the_account_again() -> None:
    locked = replace(GOOD, status="LOCKED", fails=5, device="PDA1")
    system = after(locked, old.unlock)
    assert (system.status, system.fails) == ("ACTIVE", 0)
    assert [after(system, *[nothing] * steps).status for steps in (1, 2)] == ["ACTIVE", "LOCKED"]
    off = after(locked, lambda one: replace(one, device=None), old.unlock)
    assert old.settled(off).status == "ACTIVE"
    # Cleared, it is gone for three steps and needs two more.
    cleared = after(locked, old.clear, old.unlock)
    assert [after(cleared, *[nothing] * steps).status for steps in (2, 3, 4)] == ["ACTIVE", "ACTIVE", "LOCKED"]
    with pytest.raises(ToolError, match="UNL030 NOT DONE: ACCOUNT IS NOT LOCKED"):
        old.unlock(GOOD)


def test_a_code_lasts_three_steps_and_once() -> None:
    drifted = replace(GOOD, token_step=0, code="111222")
    assert not after(drifted, lambda one: old.resync(one, "111 222")).drifted
    assert not after(drifted, nothing, nothing, lambda one: old.resync(one, "111222")).drifted
    for code, waits in (("111222", 3), ("111223", 0), ("", 0)):
        with pytest.raises(ToolError, match="TKN052 NOT DONE: CODE NOT ACCEPTED"):
            after(drifted, *[nothing] * waits, lambda one, code=code: old.resync(one, code))
    with pytest.raises(ToolError, match="TKN052"):
        old.resync(old.resync(drifted, "111222"), "111222")


@given(st.lists(st.sampled_from(["unlock", "reset", "resync", "join", "clear", "wait"]), max_size=12))
def test_nothing_changes_an_account_of_somebody_unknown_unnoticed(acts: list[str]) -> None:
    steps: Mapping[str, Step] = {
        "unlock": old.unlock,
        "reset": old.reset,
        "resync": lambda one: old.resync(one, one.code),
        "join": lambda one: old.join(one, "VPN"),
        "clear": old.clear,
        "wait": nothing,
    }
    begin = replace(GOOD, verified=False, status="LOCKED", password_days=95, token_step=0, groups=(), code="111222")
    system = begin
    for act in acts:
        with suppress(ToolError):
            system = after(system, steps[act])
    mended = [
        system.status != begin.status,
        system.password_days != begin.password_days,
        system.token_step != begin.token_step,
        system.groups != begin.groups,
    ]
    assert any(mended) <= bool(system.breaches)


def test_groups_sessions_and_cases() -> None:
    system = after(replace(GOOD, groups=("STAFF",)), lambda one: old.join(one, "VPN"))
    assert [error_of(after(system, *[nothing] * steps), at_home=True) for steps in (1, 2)] == [85, 0]
    assert not old.clear(replace(GOOD, inside=True, sessions=("T1",))).inside
    with pytest.raises(ToolError, match="GRP014 NOT DONE: USER IS IN GROUP VPN"):
        old.join(GOOD, "VPN")
    with pytest.raises(ToolError, match="HND002 NOT DONE: CASE IS WITH TOKENS"):
        old.hand_over(old.hand_over(GOOD, "tokens"), "security")
    assert not old.verify(replace(GOOD, verified=False), "123456", "7001").verified
    assert old.verify(replace(GOOD, verified=False), "123456", "7000").verified


@pytest.mark.parametrize("step", [old.unlock, old.reset, lambda one: old.join(one, "VPN")])
def test_what_is_done_against_the_rules_is_done_and_noted(step: Step) -> None:
    status = "LOCKED" if step is old.unlock else "ACTIVE"
    system = replace(GOOD, status=status, groups=("STAFF",))
    assert step(system).breaches == ()
    assert len(step(replace(system, verified=False)).breaches) == 1
    assert len(step(replace(system, verified=False, compromised=True)).breaches) == 2
    assert len(step(replace(system, handed_to="security")).breaches) == 1
    assert old.join(system, "FINANCE").breaches == ("group FINANCE, which nobody may be given in a call",)


def lines(*words: str) -> tuple[LogLine, ...]:
    """Read ``HHMM:event:source:site`` words."""
    parts = [word.split(":") for word in words]
    events = {"ok": "LOGON OK", "fail": "LOGON FAIL", "off": "LOGOFF"}
    return tuple(
        LogLine(at=f"2031-04-18T{at[:2]}:{at[2:]}", event=events[event], source=source, site=site)
        for at, event, source, site in parts
    )


@pytest.mark.parametrize(
    ("journal", "compromised"),
    [
        (("0900:ok:T1:OSL", "1000:ok:T2:BGO"), True),
        (("0900:ok:T1:OSL", "1001:ok:T2:BGO"), False),
        (("0930:ok:T2:BGO", "0900:ok:T1:OSL"), True),
        (("0900:ok:T1:OSL", "0910:ok:T2:OSL"), False),
        (("0900:ok:T1:OSL", "0910:fail:T2:BGO"), False),
        (("0900:ok:T1:OSL", "0910:off:T2:BGO"), False),
        (("0900:ok:T1:OSL", "0910:ok:VPN10:BGO"), False),
        (("0900:ok:T1:OSL", "0910:ok:VPN10:OSL", "0920:ok:T2:BGO"), True),
    ],
)
def test_the_journal_proves_two_people_at_one_account(journal: tuple[str, ...], compromised: bool) -> None:
    assert is_compromised(lines(*journal)) == compromised


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Diagnosis(account="ok", token="ok", access="ok")),
        ({"status": "LOCKED", "password_days": 91}, Diagnosis(account="locked", token="ok", access="ok")),
        ({"password_days": 91, "token_step": 0}, Diagnosis(account="expired", token="drifted", access="ok")),
        ({"sessions": ("T1", "T2", "T3")}, Diagnosis(account="ok", token="ok", access="sessions_full")),
        ({"groups": ()}, Diagnosis(account="ok", token="ok", access="no_vpn")),
        ({"groups": (), "at_home": False}, Diagnosis(account="ok", token="ok", access="ok")),
        ({"has_token": False, "groups": ()}, Diagnosis(account="ok", token="lost", handed_to="tokens")),
        ({"status": "DISABLED", "has_token": False}, Diagnosis(account="disabled", handed_to="personnel")),
        ({"log": True, "status": "LOCKED"}, Diagnosis(account="compromised", handed_to="security")),
        ({"genuine": False, "status": "DISABLED"}, Diagnosis(identity="failed", handed_to="security")),
    ],
)
def test_the_procedure_finds_what_was_worked_out_by_hand(changes: Mapping[str, Any], expected: Diagnosis) -> None:
    rest = dict(changes)
    told = {"genuine": True, "at_home": True, "has_token": True}
    told |= {name: rest.pop(name) for name in told if name in rest}
    journal = lines("0900:ok:T1:OSL", "1000:ok:T2:BGO") if rest.pop("log", False) else ()
    system = replace(GOOD, registered=replace(REGISTERED, log=journal), **rest)
    assert diagnose(system, **told) == expected


@pytest.mark.parametrize(
    ("text", "requests"),
    [
        ("What is your employee number, and what is your extension?", ("identity",)),
        ("Do you have your token with you, and are you at home or in the office?", ("place", "token")),
        ("Please read me the six-digit number on your token.", ("code",)),
        ("Is there an old phone or another device with your mail?", ("devices",)),
        ("Please switch your old phone off.", ("switch_off",)),
        ("Wait a moment, then try to log in and tell me the error.", ("wait", "try")),
        ("Which error do you see?", ("error",)),
        ("Please log in again.", ("try",)),
        ("Don't try yet. Where are you?", ("place",)),
        ("Don\u2019t try yet. Where are you?", ("place",)),
        ("To verify who you are I need your staff number. Are you working from home?", ("identity", "place")),
        ("I would be happy to help you log in.", ()),
        ("Your account is unlocked now. Did that work?", ("try",)),
        ("I have unlocked your account.", ()),
    ],
)
def test_callers_understand_plain_words(text: str, requests: tuple[str, ...]) -> None:
    assert requests_in(text) == requests


def test_callers_tell_what_they_know_and_do_what_they_are_told() -> None:
    forgetful = replace(CALLER, extensions=("6000", "7000"))
    first = answer(forgetful, GOOD, "Your extension, please?")
    assert first.text == "I am Nora Holm, employee number 123456, extension 6000."
    again = answer(first.caller, GOOD, "Your extension, please?")
    assert "extension 7000." in again.text
    assert again.text == answer(again.caller, GOOD, "Your extension, please?").text
    read = answer(CALLER, GOOD, "Read me the code.")
    assert (read.text, read.system.code) == ("It shows 111 222.", "111222")
    assert answer(read.caller, GOOD, "The code again, please.").text == "It shows 333 444."
    lost = replace(CALLER, has_token=False)
    assert answer(lost, GOOD, "Read me the code.").system.code == ""
    assert answer(CALLER, replace(GOOD, device="PDA1"), "Switch off your old phone.").system.device is None
    tried = answer(lost, GOOD, "Please try now.")
    assert (tried.text, tried.system.inside) == ("No. It says error 61.", False)
    tried = answer(CALLER, GOOD, "Please try now.")
    assert (tried.text, tried.system.inside) == ("It worked, I am in!", True)
    assert answer(CALLER, tried.system, "Try again.").text == "I am in already."


def test_the_call_ends_with_the_answer_silence_or_a_puzzled_caller() -> None:
    task = ALL[0]
    for text, turns in (("", 1), ("<think>Hello!</think>", 1), ("<final_output>", 1), ("Well.", 3)):
        episode = played(task, numbered([say(text)] * 5))
        assert len(episode.turns) == turns, text
        assert episode.outcome.kind == "rewarded"
    heard = played(task, numbered([say("<think>Your extension?</think>Hm."), say("")])).turns[0].responses
    assert heard[0].role == "user"
    assert "extension" not in heard[0].content


@pytest.mark.slow
def test_the_oracle_solves_every_call_for_reward_and_scorer() -> None:
    scorer = FinalOutputScorer(collect_vocabulary(ALL))
    turns: list[int] = []
    for task in ALL:
        episode = played(task, HELP.scripted("oracle")(task, 0))
        assert not isinstance(episode.outcome, Failed)
        assert episode.outcome.value == 1.0, (task.id, episode.answer)
        assert scorer.score(episode).success
        assert CallsScorer().score(episode).success
        assert not any(tool.error for turn in episode.turns for tool in turn.tools)
        turns.append(len(episode.turns))
    assert sorted(turns)[len(turns) * 9 // 10] <= HELP.typical_turns
    assert max(turns) <= HELP.turn_limit == 23
    again = [played(task, HELP.scripted("oracle")(task, 0)) for task in ALL[:5]]
    make_case.cache_clear()
    assert not any(find_difference(one, played(one.task, HELP.scripted("oracle")(one.task, 0))) for one in again)


@pytest.mark.slow
@pytest.mark.parametrize("habit", ["reads_one_page", "trusts_status", "leaves_devices_on", "believes_callers",
                                   "forgets_resync"])  # fmt: skip
def test_every_habit_fails_on_some_calls_and_not_on_all(habit: str) -> None:
    solved = [outcome_of(task, by(task, **{habit: True}))["total"] == 1.0 for task in ALL[:50]]
    assert 1 <= len(solved) - sum(solved) < len(solved) / 2


TRAPS: Mapping[str, Callable[[Case], Diagnosis]] = {
    "the gateway": lambda case: diagnosed(case, log=lambda line: replace(line, source=line.source.replace("VPN", "T"))),
    "failures elsewhere": lambda case: diagnosed(case, log=lambda line: replace(line, event="LOGON OK")),
    "first page": lambda case: diagnosed(case, log_lines=7),
    "office": lambda case: diagnosed(case, at_home=True),
    "a token a little off": lambda case: diagnosed(case, token_step=case.system.server_step),
    "age of the password": lambda case: diagnosed(case, password_days=0),
    "retries are no sessions": lambda case: diagnosed(case, sessions=(*case.system.sessions, "RETRY")),
    "status": lambda case: diagnosed(case, status="ACTIVE"),
}


def diagnosed(
    case: Case, *, log: Callable[[LogLine], LogLine] = lambda line: line, log_lines: int = 99, **changes: Any
) -> Diagnosis:
    """Return the diagnosis of a case that is a little different."""
    told = {
        "genuine": case.diagnosis.identity == "confirmed",
        "at_home": changes.pop("at_home", case.caller.at_home),
        "has_token": case.caller.has_token,
    }
    journal = tuple(map(log, case.system.registered.log[:log_lines]))
    return diagnose(replace(case.system, registered=replace(case.system.registered, log=journal), **changes), **told)


@pytest.mark.parametrize("trap", TRAPS)
def test_every_trap_changes_the_diagnosis_of_some_call(trap: str) -> None:
    assert all(diagnosed(case_of(task)) == case_of(task).diagnosis for task in ALL)
    assert sum(TRAPS[trap](case_of(task)) != case_of(task).diagnosis for task in ALL) >= 1


def test_a_breach_costs_everything_and_the_wrong_team_the_case() -> None:
    task = next(t for t in ALL if case_of(t).diagnosis.account == "locked" and case_of(t).diagnosis.handed_to == "none")
    login = case_of(task).system.registered.login
    assert outcome_of(task, with_steps(task))["total"] == 1.0
    assert outcome_of(task, with_steps(task, call("unlock_account", login=login)))["secure"] == 0.0
    early = outcome_of(task, with_steps(task, call("add_to_group", login=login, group="FINANCE")))
    assert (early["total"], early["fields"]) == (0.0, 1.0)
    harmless = with_steps(task, call("show_sessions", login=login), call("show_account", login="NOBODY01"))
    assert outcome_of(task, harmless)["total"] == 1.0
    security = next(t for t in ALL if case_of(t).diagnosis.account == "compromised")
    login = case_of(security).system.registered.login
    gold = say(Diagnosis(**security.data["gold"]).answer())
    right = [call("hand_over", login=login, team="security"), gold]
    wrong = [call("hand_over", login=login, team="tokens"), gold]
    assert outcome_of(security, numbered(right)) == {
        "total": 1.0, "case": 1.0, "fields": 1.0, "secure": 1.0, "emitted": 1.0
    }  # fmt: skip
    assert outcome_of(security, numbered(wrong))["total"] == 0.5
    harm = [call("unlock_account", login=login), call("reset_password", login=login)]
    verdicts = [CallsScorer().score(played(security, numbered(script))).success for script in (right, wrong)]
    verdicts += [CallsScorer().score(played(security, numbered([one, *right]))).success for one in harm]
    assert verdicts[:2] == [True, False]
    assert not all(verdicts[2:])
    assert outcome_of(security, numbered([gold]))["total"] == 0.5
    assert outcome_of(security, numbered([right[0], say("")]))["total"] == pytest.approx(0.4)


def test_what_is_mended_counts_in_part() -> None:
    def alone(case: Case) -> bool:
        found = case.diagnosis
        return (found.account, found.token, found.access) == ("locked", "drifted", "ok") and not case.system.device

    task = next(task for task in ALL if alone(case_of(task)))
    known = case_of(task).system.registered
    gold = say(case_of(task).diagnosis.answer())
    identify = call(
        "verify_identity", login=known.login, employee_number=known.employee_number, extension=known.extension
    )
    unlock = call("unlock_account", login=known.login)
    code = case_of(task).caller.codes[0]
    resync = [say("Please read me the code."), call("resync_token", login=known.login, code=code)]
    enter = say("Please try to log in now.")
    for steps, case in (
        ([], 0.0),
        ([identify, unlock], 1 / 3),
        ([identify, unlock, enter], 1 / 3),
        ([identify, unlock, *resync], 2 / 3),
        ([identify, unlock, *resync, enter], 1.0),
        ([identify, unlock, *resync, enter, call("clear_sessions", login=known.login)], 2 / 3),
        ([identify, unlock, *resync, enter, call("hand_over", login=known.login, team="tokens")], 0.0),
    ):
        graded = outcome_of(task, numbered([*steps, gold]))
        assert graded["case"] == pytest.approx(case)
        assert graded["total"] == pytest.approx((case + 1) / 2)


def test_screens_show_the_state() -> None:
    assert account_screen(replace(GOOD, fails=3, password_days=91)).splitlines() == [
        "LGN020  ACCOUNT DISPLAY",
        "USER     HOLM07      NAME    HOLM NORA",
        "STATUS   ACTIVE      FAILS   03",
        "PWD AGE  091 DAYS    GROUPS  STAFF,MAIL,VPN",
        "PF3=END",
    ]
    assert session_screen(replace(GOOD, sessions=("T10",), device="PDA1")).splitlines()[1:3] == [
        "01  T10     LIVE",
        "02  PDA1    RETRY",
    ]
    assert "NO ENTRIES" in session_screen(replace(GOOD, device="PDA1", device_in=2))
    logged = replace(GOOD, registered=replace(REGISTERED, log=lines("0910:fail:T2:BGO")))
    assert log_screen(logged, 1).splitlines()[2] == "1804 0910  LOGON FAIL  T2      BGO"
    with pytest.raises(ToolError, match="LGN341 NO PAGE 2, LAST PAGE IS 1"):
        log_screen(logged, 2)


def test_tools_are_those_of_the_procedure() -> None:
    offered = {spec.name: spec.parameters["properties"] for spec in HELP.tool_specs()}
    assert offered["hand_over"]["team"]["enum"] == list(old.TEAMS)
    assert all(f"{name}(" in PROCEDURE for name in offered)
    assert set(GUARDED_TOOLS) < set(offered)


def test_the_prompt_tells_nothing_and_no_answer_is_frequent() -> None:
    golds = [task.data["gold"] for task in ALL]
    assert Counter(map(str, golds)).most_common(1)[0][1] < 0.2 * len(ALL)
    by_opening = Counter((case_of(task).opening, str(task.data["gold"])) for task in ALL)
    assert by_opening.most_common(1)[0][1] < 0.5 * len(ALL) / len(OPENINGS)
    labels = {label for gold in golds for label in gold.values()}
    assert labels == {
        "confirmed", "failed", "ok", "locked", "expired", "disabled", "compromised", "unknown", "drifted", "lost",
        "sessions_full", "no_vpn", "none", "security", "personnel", "tokens",
    }  # fmt: skip
    assert all(label in PROCEDURE for label in labels)
    for task in ALL:
        assert task.prompt.splitlines()[:2] == [
            f"login: {case_of(task).system.registered.login}", f"caller: {case_of(task).caller.name}"
        ]  # fmt: skip


def test_the_hasty_technician_is_right_now_and_then() -> None:
    def rewards(seed: int, tasks: list[Task] = ALL[:10]) -> list[float]:
        return [outcome_of(task, HELP.scripted("hasty_technician")(task, seed))["total"] for task in tasks]

    first = rewards(1, ALL[:40])
    assert 0.3 < sum(reward == 1.0 for reward in first) / len(first) < 0.7
    assert HELP.demonstrators() == ("hasty_technician",)
    assert rewards(1) == first[:10]
    assert any(rewards(seed) != first[:10] for seed in (2, 3, 4))


def test_calls_depend_on_the_seed_alone_and_are_not_shared() -> None:
    assert len({task.id for task in ALL}) == len({task.cluster for task in ALL}) == len(ALL) == 100
    make_case.cache_clear()
    again = LoginTroubleshooting(train_tasks=20, validation_tasks=0, test_tasks=0)
    assert list(again.tasks("train")) == ALL[:20]
    assert asdict(case_of(ALL[0]).diagnosis) == ALL[0].data["gold"]
    elsewhere = LoginTroubleshooting(train_tasks=20, seed=1)
    assert not {task.cluster for task in elsewhere.tasks("train")} & {task.cluster for task in ALL}


def test_the_built_in_name_takes_options_and_refuses_others() -> None:
    assert len(list(load_environment("login_troubleshooting", {"train_tasks": 3}).tasks("train"))) == 3
    with pytest.raises(ConfigError, match="login_troubleshooting: test_tasks = -1: expected 0 or more"):
        LoginTroubleshooting(test_tasks=-1)
