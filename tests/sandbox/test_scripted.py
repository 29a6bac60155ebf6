"""The scripted sandbox: it answers as told and remembers what was asked."""

from pathlib import Path

import pytest

from turnwright.sandbox import ProgramEndedError, SandboxError, SandboxLimits
from turnwright.sandbox.scripted import Asked, ScriptedSandbox, exited


def test_runs_are_answered_in_order_and_remembered_with_their_files() -> None:
    sandbox = ScriptedSandbox([exited("42"), SandboxError("no space left")])
    with sandbox.workspace(SandboxLimits(), readable=[Path("/data")]) as workspace:
        workspace.write("main.py", b"print(42)")
        assert workspace.run(["python3", "main.py"], stdin=b"in", environment={"A": "1"}).stdout == "42"
        with pytest.raises(SandboxError, match="no space left"):
            workspace.run(["true"])
        with pytest.raises(SandboxError, match="no answer left for 'ls -l'"):
            workspace.run(["ls", "-l"])
        assert (workspace.files(), workspace.read("main.py")) == (("main.py",), b"print(42)")
        assert sandbox.open_workspaces == 1
    assert (sandbox.open_workspaces, sandbox.readable) == (0, [(Path("/data"),)])
    assert sandbox.asked[0] == Asked(
        command=("python3", "main.py"),
        stdin=b"in",
        environment={"A": "1"},
        limits=SandboxLimits(),
        files={"main.py": b"print(42)"},
    )
    with pytest.raises(SandboxError, match="the workspace is closed"):
        workspace.run(["true"])


def test_a_function_answers_from_what_was_asked() -> None:
    with ScriptedSandbox(lambda asked: exited(asked.stdin.decode().upper())).workspace(SandboxLimits()) as workspace:
        assert workspace.run(["tr"], stdin=b"abc").stdout == "ABC"
        with pytest.raises(FileNotFoundError):
            workspace.read("never")
        with pytest.raises(ValueError, match="no path within the workspace"):
            workspace.write("../x", b"")


def test_lines_are_answered_until_the_script_ends() -> None:
    sandbox = ScriptedSandbox(lines=["one"])
    with sandbox.workspace(SandboxLimits()) as workspace, workspace.converse(["cat"]) as conversation:
        assert conversation.ask("1") == "one"
        with pytest.raises(ProgramEndedError, match="'cat' ended"):
            conversation.ask("2")
    assert sandbox.lines == ["1", "2"]
