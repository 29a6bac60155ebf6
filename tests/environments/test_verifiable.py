"""Code of a policy: edited and run in a workspace of its own, graded in a fresh one by what it gives."""

import asyncio
import json
import re
import tempfile
from pathlib import Path

import pytest

from turnwright.audit.play import play
from turnwright.core.errors import EnvironmentLoadError
from turnwright.core.message import Message
from turnwright.core.outcome import Failed, Outcome, Rewarded
from turnwright.core.task import Split, Task
from turnwright.environments import call, say
from turnwright.environments.scripts import numbered
from turnwright.environments.verifiable.cases import Case, CaseResult, _judged, run_cases
from turnwright.environments.verifiable.driver import encoded
from turnwright.environments.verifiable.environment import (
    EditsFiles,
    ListsFiles,
    RunsPython,
    RunsTests,
    VerifiableEnvironment,
    without_places,
)
from turnwright.sandbox.base import SandboxError, SandboxLimits
from turnwright.sandbox.choose import open_sandbox
from turnwright.sandbox.scripted import ScriptedSandbox, exited

RIGHT = "def double(x):\n    return x + x\n"
TASK = Task(
    id="t",
    prompt="double(x) returns x twice",
    data={
        "files": {"solution.py": "def double(x):\n    return x\n", "notes.txt": "as it was"},
        "protected": ["notes.txt"],
        "visible": [{"expression": "double(2)", "expected": "4"}],
        "hidden": [
            {"expression": "double('ab')", "expected": "'abab'"},
            {"expression": "double(0)", "expected": "0"},
            {"expression": "double(None)", "raises": "TypeError"},
            {"expression": "open('notes.txt').read()", "expected": "'as it was'"},
        ],
    },
)


class Doubling(ListsFiles, EditsFiles, RunsTests, RunsPython, VerifiableEnvironment):
    """Asks for a function."""

    def tasks(self, split: Split) -> list[Task]:
        return [TASK]


try:
    SANDBOX = open_sandbox()
except SandboxError as missing:
    pytest.skip(f"no sandbox works here: {missing}", allow_module_level=True)
DOUBLING = Doubling(sandbox=SANDBOX)


def played(*replies: Message) -> tuple[list[str], Outcome]:
    """Return what the tools answered, and the outcome."""
    episode = asyncio.run(play(DOUBLING, TASK, numbered([*replies, say("done")]), seed=0))
    return [message.content for turn in episode.turns for message in turn.responses], episode.outcome


@pytest.mark.slow
def test_a_policy_edits_tries_and_is_graded_on_cases_it_has_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    answers, outcome = played(
        call("list_files"),
        call("run_tests"),
        call("replace_text", path="solution.py", old="return x", new="return x + x"),
        call("read_file", path="solution.py"),
        call("run_tests"),
        call("write_file", path="notes.txt", content="changed"),
        call("run_python", code="import solution\nprint(solution.double(21), open('notes.txt').read())"),
    )
    assert answers == [
        '["notes.txt", "solution.py"]',
        "0 of 1 pass\nFAILED: double(2): expected 4, got 2",
        "written",
        RIGHT,
        "1 of 1 pass\nok: double(2) is 4",
        "written",
        '{"stdout": "42 changed\\n", "stderr": "", "exit_code": 0}',
    ]
    assert outcome == Rewarded(value=1.0, components={"passed": 1.0, "timeout": 0.0, "ended": 0.0})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_what_is_left_as_it_was_earns_its_share():
    # 0 doubles to itself, and the note is there.
    assert played()[1] == Rewarded(value=0.5, components={"passed": 0.5, "timeout": 0.0, "ended": 0.0})


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("read_file", {"path": "other.py"}, "no file 'other.py', there is: notes.txt, solution.py"),
        ("read_file", {"path": "../secret"}, "no file '../secret'"),
        ("read_file", {"path": "x" * 300}, "cannot be a file here|no file"),
        ("read_file", {"path": "solution.py/x"}, "cannot be a file here|no file"),
        ("write_file", {"path": "x" * 300, "content": ""}, "cannot be a file here: File name too long"),
        ("write_file", {"path": "solution.py/x", "content": ""}, "cannot be a file here"),
        ("write_file", {"path": "", "content": ""}, "cannot be a file here"),
        ("write_file", {"path": ".", "content": ""}, "cannot be a file here"),
        ("write_file", {"path": "a\0b", "content": ""}, "cannot be a file here"),
        ("write_file", {"path": "/etc/x", "content": ""}, "/etc/x"),
        ("write_file", {"path": "../x", "content": ""}, "../x"),
        ("write_file", {"path": "x", "content": "x" * 200_001}, "200001 characters are too many"),
        ("replace_text", {"path": "solution.py", "old": "x", "new": ""}, "occurs 2 times in solution.py, not once"),
        ("replace_text", {"path": "solution.py", "old": "", "new": "x"}, "occurs 0 times"),
        ("replace_text", {"path": "solution.py", "old": "y", "new": "x"}, "occurs 0 times"),
        ("run_python", {"code": "\0"}, "zero byte"),
        ("run_python", {"code": "#" * 140_000}, "more than 100000 bytes"),
    ],
)
def test_a_tool_that_cannot_says_why(tool: str, arguments: dict[str, str], told: str):
    environment = DOUBLING.for_episode()
    environment.open(TASK, 0)
    try:
        answer = asyncio.run(environment.call_tool(call(tool, **arguments).tool_calls[0]))
    finally:
        environment.close()
    assert answer.outcome.error
    assert re.search(told, answer.message.content)


def test_a_sandbox_that_breaks_is_a_failure_and_no_reward():
    broken = [Doubling(sandbox=ScriptedSandbox([SandboxError("no user namespaces")])) for _ in range(2)]
    outcome = asyncio.run(play(broken[0], TASK, numbered([say("done")]), seed=0)).outcome
    assert outcome == Failed(cause="grader_error", detail="SandboxError: no user namespaces")
    outcome = asyncio.run(play(broken[1], TASK, numbered([call("run_tests")]), seed=0)).outcome
    assert isinstance(outcome, Failed)
    assert outcome.cause == "tool_error"


def test_a_task_without_hidden_cases_cannot_be_graded():
    task = Task(id="t", prompt="", data={"files": {}, "hidden": []})
    outcome = asyncio.run(play(Doubling(sandbox=ScriptedSandbox()), task, numbered([say("done")]), seed=0)).outcome
    assert outcome == Failed(
        cause="grader_error",
        detail="ValueError: task 't' has no hidden cases: nothing could tell right from wrong",
    )


READY = '{"ready": true}\n'


def line(case: object, value: object) -> str:
    return f'{{"case": {case}, "answer": ["value", {value}]}}\n'


@pytest.mark.parametrize(
    ("output", "endings"),
    [
        (READY + line(0, 1) + line(1, 2) + line(2, 3), ["passed"] * 3),
        (READY + line(0, 1) + line(1, 2) + line(2, 3) + line(0, 9) + "more", ["passed"] * 3),
        (READY + line(0, 1) + line(0, 1) + line(1, 2) + line(2, 3), ["passed", "ended", "ended"]),
        (READY + line(1, 2) + line(0, 1) + line(2, 3), ["ended"] * 3),
        (READY + line(0, 1) + "OK\n" + line(1, 2) + line(2, 3), ["passed", "ended", "ended"]),
        (READY + "\n".join(["[0]", "7", '"x"', "[" * 50_000]), ["ended"] * 3),
        (READY + '{"case": 0, "answer": 1}\n', ["ended"] * 3),
        (READY, ["ended"] * 3),
    ],
)
def test_answers_count_up_to_the_first_line_out_of_place(output: str, endings: list[str]):
    cases = [Case(expression=f"f({at})", expected=str(at + 1)) for at in range(3)]
    sandbox = ScriptedSandbox([exited(output)])
    with sandbox.workspace(SandboxLimits()) as workspace:
        assert [result.ending for result in run_cases(workspace, "solution", cases)] == endings
    (asked,) = sandbox.asked
    assert json.loads(asked.stdin)["cases"] == ["f(0)", "f(1)", "f(2)"]
    assert set(json.loads(asked.stdin)) == {"module", "cases", "seconds", "packages"}


def test_a_program_that_does_not_begin_is_the_sandbox_s_fault():
    sandbox = ScriptedSandbox([exited(exit_code=1, stderr="no such interpreter")])
    told = r"did not begin.*no such interpreter"
    with sandbox.workspace(SandboxLimits()) as workspace, pytest.raises(SandboxError, match=told):
        run_cases(workspace, "solution", [Case(expression="double(1)", expected="2")])


@pytest.mark.slow
def test_installed_packages_are_there():
    with SANDBOX.workspace(SandboxLimits()) as workspace:
        workspace.write("solution.py", b"from annotated_types import Gt\ndef double(x):\n    return Gt(2).gt * x\n")
        assert run_cases(workspace, "solution", [Case(expression="double(2)", expected="4")])[0].passed


def test_without_a_sandbox_nothing_is_loaded():
    with pytest.raises(EnvironmentLoadError, match="needs a sandbox: there is no sandbox 'nowhere'"):
        Doubling(sandbox="nowhere")


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        ("4", 4), ("4.0", 4), ("4", 4.0), ("0.3", 0.1 + 0.2), ("'a'", "a"), ("None", None), ("(1, [2])", (1, [2])),
        ("{'b': 2, 'a': {1, 2}}", {"a": {2, 1}, "b": 2}), ("[]", []),
    ],
)  # fmt: skip
def test_values_pass_as_python_compares_them(expected: str, given: object):
    assert _judged(Case(expression="f()", expected=expected), ["value", encoded(given)]).ending == "passed"


@pytest.mark.parametrize(
    ("expected", "given", "told"),
    [
        ("1", True, "got True"),
        ("True", 1, "got 1"),
        ("'4'", 4, "got 4"),
        ("[1, 2]", (1, 2), "got (1, 2)"),
        ("(1,)", (2,), "got (2,)"),
        ("{1: 'a'}", {1: "b", "c": None}, "got {'c': None, 1: 'b'}"),
        ("{1}", {1, 2}, "got {1, 2}"),
        ("set()", {1}, "got {1}"),
        ("1.0", 1.001, "got 1.001"),
        ("None", len, "got builtin_function_or_method: <built-in function len>"),
        ("1", "x" * 999, "got '" + "x" * 199 + "..."),
    ],
)
def test_other_values_are_wrong_and_shown(expected: str, given: object, told: str):
    expected = "[]" if expected == "set()" else expected
    assert _judged(Case(expression="f()", expected=expected), ["value", encoded(given)]).given == told


def test_what_no_driver_writes_is_no_answer():
    case = Case(expression="f()", expected="1")
    deep: object = 1
    for _ in range(5000):
        deep = [deep]
    forged = ([], ["value"], ["value", 1, 1], ["passed"], ["raised", 1, 2], [["value", 1]], ["value", {"float": []}])
    for answer in (*forged, ["value", deep], ["raised", "E", "\ud800"]):
        result = _judged(case, answer)
        assert isinstance(result, CaseResult)
        assert not result.passed
        str(result).encode()


@pytest.mark.parametrize(
    ("expression", "expected", "told"),
    [
        ("double(1) == 2", "True", "compares in the sandbox"),
        ("not double(0)", "True", "compares in the sandbox"),
        ("double(1) and True", "True", "compares in the sandbox"),
        ("x = 1", "1", "invalid syntax"),
        ("double(1)", "double(1)", "malformed node"),
    ],
)
def test_a_case_asks_for_a_value_and_states_a_literal(expression: str, expected: str, told: str):
    with pytest.raises(ValueError, match=told):
        Case(expression=expression, expected=expected)


def test_answers_tell_no_folder_of_the_host_and_no_address():
    text = 'File "/tmp/x-83/files/solution.py", line 1 <object at 0x7f01> a/solution.py'
    place = "in /var/tmp/turnwright-sandbox-ab12cd34/files and /tmp/turnwright-sandbox-ab12cd34/files/x.txt"
    assert without_places(place, []) == "in /workspace and /workspace/x.txt"
    assert without_places(text, ["solution.py"]) == ('File "solution.py", line 1 <object at 0x...> a/solution.py')
