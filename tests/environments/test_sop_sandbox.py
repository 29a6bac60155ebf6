"""A folder's own tools.py answers from inside a sandbox as the recorded tools do, and breaks as infrastructure."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from environments.sop_domains_made import LOOKUPS, ROWS, TOOLS, TOOLSPECS, write_domain
from turnwright.core.errors import EnvironmentLoadError, TurnwrightError
from turnwright.core.message import ToolCall
from turnwright.environments import ToolCrash
from turnwright.environments.base import ToolAnswer
from turnwright.environments.sop.environment import SopEnvironment
from turnwright.environments.sop.parity import compare_tools
from turnwright.environments.sop.sandbox import SandboxedTools
from turnwright.sandbox.choose import open_sandbox


def sandbox_works() -> bool:
    try:
        open_sandbox()
    except TurnwrightError:
        return False
    return True


pytestmark = [pytest.mark.sandbox, pytest.mark.skipif(not sandbox_works(), reason="no sandbox works here")]
"""Each test starts several sandboxes."""


def broken(body: str, *, head: str = "") -> str:
    return f"{head}\nclass BadgeManager:\n    def process_tool_call(self, name, arguments):\n        {body}\n"


async def call(environment: SopEnvironment, *calls: tuple[str, dict[str, Any]]) -> list[ToolAnswer]:
    opened = environment.for_episode()
    opened.open(opened.tasks("test")[0], 0)
    try:
        requests = [ToolCall(id="", name=name, arguments=json.dumps(given)) for name, given in calls]
        return [await opened.call_tool(request) for request in requests]
    finally:
        opened.close()


def ask(environment: SopEnvironment, name: str, **arguments: Any) -> Any:
    (answer,) = asyncio.run(call(environment, (name, arguments)))
    return json.loads(answer.message.content)


def test_tools_answer_from_inside_and_nothing_they_do_shows(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    environment = SopEnvironment(write_domain(tmp_path, tools=TOOLS))
    assert (environment.tool_source, environment.waits) == ("sandbox", True)
    answers = asyncio.run(
        call(
            environment,
            ("find_badge", {"badge": "008"}),
            ("check_expiry", {"badge": "009"}),
            ("find_badge", {"badge": "000"}),
            ("find_badge", {"badge": "007", "colour": "red"}),
            ("open_all", {}),
        )
    )
    assert [json.loads(answer.message.content) for answer in answers[:3]] == [
        {"zone": None, "level": 3, "score": None},
        None,
        {"error": "No such badge: 000"},
    ]
    assert "unexpected keyword argument" in answers[3].message.content
    assert [answer.outcome.error for answer in answers] == [False, False, True, True, True]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "metadata.json", "sop.txt", "test_set_with_outputs.csv", "tools.py", "toolspecs.json",
    ]  # fmt: skip
    assert capfd.readouterr().out == ""


def test_recorded_tools_equal_those_of_the_folder_on_every_row(tmp_path: Path) -> None:
    environment = SopEnvironment(write_domain(tmp_path, tools=TOOLS, lookups=LOOKUPS))
    assert environment.tool_source == "recorded"
    parity = compare_tools(environment, SandboxedTools(environment.folder))
    assert (parity.calls, parity.mismatches) == (len(ROWS) * len(LOOKUPS), ())
    assert environment.findings == ()
    assert ask(environment, "find_badge", badge="007") == {"zone": "north", "level": 2, "score": 1.5}
    real = SopEnvironment(tmp_path, tools="sandbox")
    assert ask(real, "find_badge", badge="007") == ask(environment, "find_badge", badge="007")


def test_recorded_tool_that_differs_is_a_finding_with_both_answers(tmp_path: Path) -> None:
    wrong = [LOOKUPS[0], {**LOOKUPS[1], "value": {"column": "zone", "type": "text"}}, LOOKUPS[2]]
    environment = SopEnvironment(write_domain(tmp_path, tools=TOOLS, lookups=wrong))
    parity = compare_tools(environment, SandboxedTools(environment.folder))
    assert {mismatch.tool for mismatch in parity.mismatches} == {"check_expiry"}
    (finding,) = environment.findings
    assert (finding.code, finding.severity, finding.where) == ("parity.tools", "error", "tool 'check_expiry'")
    assert '"north"' in finding.evidence
    assert '"2031-01-01"' in finding.evidence


def test_episodes_have_folders_of_their_own(tmp_path: Path) -> None:
    tools = broken(
        "n = pathlib.Path('n'); n.write_text((n.read_text() if n.exists() else '') + 'x'); return n.read_text()",
        head="import pathlib",
    )
    environment = SopEnvironment(write_domain(tmp_path, tools=tools))

    async def two() -> list[list[ToolAnswer]]:
        return list(await asyncio.gather(*(call(environment, *[("find_badge", {"badge": "007"})] * 2) for _ in "ab")))

    texts = [[answer.message.content for answer in answers] for answers in asyncio.run(two())]
    assert texts == [['"x"', '"xx"'], ['"x"', '"xx"']]


def test_program_serves_the_next_episode_and_is_replaced_when_it_ended_meanwhile(tmp_path: Path) -> None:
    environment = SopEnvironment(write_domain(tmp_path, tools=broken("import os; return os.getppid()")))
    tools = environment.sandboxed
    assert tools is not None
    first, second = tools.start(), tools.start()
    assert first.program is not second.program
    used = first.program
    first.close()
    again = tools.start()
    assert again.program is used
    again.close()
    used.resources.close()
    fresh = tools.start()
    assert fresh.program is not used
    assert fresh.call("find_badge", {"badge": "007"}) > 0
    for process in (fresh, second):
        process.close()


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        ("return (1, float('nan'), {1: b'z'})", [1, None, {"1": "b'z'"}]),
        ("return None", None),
        ("return {'a': {3}}", {"a": "{3}"}),
        ("import decimal; return decimal.Decimal('1.50')", "1.50"),
        ("return [True, 'nan', -0.0]", [True, "nan", 0.0]),
    ],
)
def test_what_json_cannot_say_becomes_null_or_text(result: str, shown: object, tmp_path: Path) -> None:
    environment = SopEnvironment(write_domain(tmp_path, tools=broken(result)))
    assert ask(environment, "find_badge", badge="007") == shown


def test_error_on_arguments_that_are_wrong_is_an_answer(tmp_path: Path) -> None:
    environment = SopEnvironment(write_domain(tmp_path, tools=broken("raise KeyError('badge')")))
    assert ask(environment, "find_badge", badge="no such") == {"error": "'badge'"}
    assert ask(environment, "find_badge", badge=7) == {"error": "'badge'"}


@pytest.mark.parametrize(
    ("tools", "reason"),
    [
        (broken("raise KeyError('gone')"), "raised KeyError on arguments that are all right: 'gone'"),
        (broken("import os; os._exit(3)"), "the tools of 'badges' ended"),
        (broken("return 1", head="import a_package_that_nobody_has"), "cannot be used: ModuleNotFoundError"),
        (broken("return 1", head="raise SystemExit(2)"), "cannot be used: SystemExit: 2"),
        ("class Badges:\n    pass\n", "no class named ...Manager.*its classes: Badges"),
        ("def (", "cannot be used: SyntaxError"),
    ],
)
def test_broken_tools_are_infrastructure_not_the_agents_fault(tools: str, reason: str, tmp_path: Path) -> None:
    environment = SopEnvironment(write_domain(tmp_path, tools=tools))
    with pytest.raises(ToolCrash, match=reason):
        ask(environment, "find_badge", badge="007")


def test_tools_that_are_not_there_cannot_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentLoadError, match=r"has no tools.py to run in a sandbox"):
        SopEnvironment(write_domain(tmp_path, toolspecs=TOOLSPECS), tools="sandbox")


def test_parity_that_cannot_be_checked_is_said(tmp_path: Path) -> None:
    tools = broken("return 1", head="import a_package_that_nobody_has")
    environment = SopEnvironment(write_domain(tmp_path, tools=tools, lookups=LOOKUPS))
    (finding,) = environment.findings
    assert (finding.code, finding.severity) == ("parity.unchecked", "info")
    assert "a_package_that_nobody_has" in finding.evidence


PROBED = """
import random

SEEDED = random.Random()


class BadgeManager:
    def process_tool_call(self, name, arguments):
        if name == "find_badge":
            return {body}
        if name == "check_expiry":
            return arguments["badge"]
        raise ValueError("Unknown tool: " + name)
"""


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("random.random()", "tool.random"),
        ("SEEDED.random()", "tool.random"),
        ("None", "tool.constant"),
        ("{}['gone']", "tool.refuses"),
        ("1 / (int(arguments['badge']) % 3)", "tool.breaks"),
        ("arguments['badge'] * 2", None),
    ],
)
def test_tools_are_probed_where_nothing_is_known_of_them(body: str, code: str | None, tmp_path: Path) -> None:
    rows = [(f"{i:03}", *ROWS[0][1:]) for i in range(1, 9)]
    environment = SopEnvironment(write_domain(tmp_path, rows=rows, tools=PROBED.replace("{body}", body)))
    expected = {("tool.unknown_name", "tool 'list_doors'")} | ({(code, "tool 'find_badge'")} if code else set())
    assert {(one.code, one.where) for one in environment.findings} == expected
    assert all(one.severity == "error" for one in environment.findings)
