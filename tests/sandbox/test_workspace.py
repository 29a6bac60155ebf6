"""What a workspace promises, in each back end."""

import hashlib
import json
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.conftest import processes_with
from turnwright.sandbox import ProgramEndedError, Sandbox, SandboxError, SandboxLimits, Workspace

pytestmark = pytest.mark.sandbox


def test_a_program_runs_and_says_how_it_ended(workspace: Workspace) -> None:
    workspace.write("main.py", b"import sys; print(6 * 7); print('why', file=sys.stderr); sys.exit(3)")
    result = workspace.run(["python3", "main.py"])
    assert (result.ending, result.exit_code, result.stdout, result.stderr) == ("exited", 3, "42\n", "why\n")
    assert not result.succeeded
    assert workspace.run(["true"]).succeeded


def test_what_one_run_leaves_the_next_one_finds_but_for_temporary_files(workspace: Workspace) -> None:
    script = (
        "mkdir -p a/b; echo kept > a/b/file; chmod +x a/b/file; ln -s b a/link; echo x > $TMPDIR/gone; ls -d $TMPDIR/g*"
    )
    assert workspace.run(["sh", "-c", script]).stdout.endswith("/gone\n")
    assert workspace.files() == ("a/b/file",)
    assert workspace.read("a/b/file") == b"kept\n"
    workspace.write("a/b/other", b"from outside")
    again = workspace.run(
        ["sh", "-c", "ls -d $TMPDIR/g* 2> /dev/null; cat a/link/other; test -x a/b/file && echo >> a/b/other"]
    )
    assert again.stdout == "from outside"
    assert workspace.read("a/b/other") == b"from outside\n"


def test_environment_and_interpreter_are_ours_and_nothing_else(workspace: Workspace) -> None:
    program = "import os, sys, json; print(json.dumps([dict(os.environ), sys.prefix, sys.version, os.getcwd()]))"
    result = workspace.run(["python3", "-c", program], environment={"NAME": "v=1"})
    environment, prefix, version, folder = json.loads(result.stdout)
    assert set(environment) - {"LC_CTYPE"} == {"PATH", "HOME", "LANG", "TMPDIR", "NAME"}
    assert (environment["NAME"], prefix, version) == ("v=1", sys.prefix, sys.version)
    assert workspace.run(["sh", "-c", "command -v python3; cd $HOME && echo ok > x && cat x"]).stdout.endswith("ok\n")
    assert folder != environment["HOME"]


def test_packages_of_the_interpreter_can_be_imported(workspace: Workspace) -> None:
    assert workspace.run(["python3", "-c", "import pydantic; print(pydantic.__name__)"]).stdout == "pydantic\n"


def test_what_python_programs_usually_do_works(workspace: Workspace) -> None:
    program = """
import asyncio, concurrent.futures, os, shutil, sqlite3, subprocess, sys, tempfile, threading, uuid, zipfile
asyncio.run(asyncio.sleep(0))
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    assert list(pool.map(abs, [-1, 2])) == [1, 2]
with tempfile.TemporaryDirectory() as folder, open(f"{folder}/x", "w") as stream:
    stream.write("x")
database = sqlite3.connect("base.sqlite")
database.execute("create table t (x)")
database.commit()
shutil.copy("base.sqlite", "copy.sqlite")
assert subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, start_new_session=True).stdout == b"1\\n"
with open("/dev/null", "w") as nothing:
    subprocess.run(["ls"], stdout=nothing, check=True)
os.urandom(8), uuid.uuid4(), os.cpu_count()
process = subprocess.Popen(["sleep", "60"])
process.terminate()
assert process.wait() == -15
print("done")
"""
    result = workspace.run(["python3", "-c", program])
    assert (result.stdout, result.stderr) == ("done\n", "")


def test_standard_input_is_whole_and_cannot_be_written(workspace: Workspace) -> None:
    stdin = bytes(range(256)) * 5000
    assert workspace.run(["sha256sum"], stdin=stdin).stdout.split()[0] == hashlib.sha256(stdin).hexdigest()
    assert workspace.run(["cat"]).stdout == ""
    assert workspace.run(["python3", "-c", "import os; os.write(0, b'x')"], stdin=b"x").exit_code == 1


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["no-such-program"], 127, "no-such-program: No such file or directory\n"),
        (["./data"], 126, "./data: Permission denied\n"),
        (["/usr"], 126, "/usr: Permission denied\n"),
        (["sh", "-c", "exit 255"], 255, ""),
        (["echo", "a\0b"], 126, "echo: embedded null byte\n"),
        (
            ["echo", "\ud800"],
            126,
            "echo: 'utf-8' codec can't encode character '\\ud800' in position 0: surrogates not allowed\n",
        ),
    ],
)
def test_a_program_that_cannot_be_started_is_an_answer(
    workspace: Workspace, command: list[str], code: int, said: str
) -> None:
    workspace.write("data", b"no program")
    result = workspace.run(command)
    assert (result.ending, result.exit_code, result.stderr) == ("exited", code, said)


def test_signals_and_bytes_that_are_no_text_are_told(workspace: Workspace) -> None:
    crash = workspace.run(["python3", "-c", "import os; os.write(1, b'a\\xff'); os.abort()"])
    assert (crash.ending, crash.exit_code, crash.stdout) == ("signalled", None, "a\\xff")


def test_limits_of_one_run_replace_those_of_the_workspace(workspace: Workspace) -> None:
    result = workspace.run(["sleep", "60"], limits=SandboxLimits(wall_seconds=0.2))
    assert result.ending == "wall_time"


def test_only_what_is_readable_is_there(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown" / "file").write_text("shown")
    (tmp_path / "hidden").write_text("hidden")
    with sandbox.workspace(SandboxLimits(), readable=[tmp_path / "shown"]) as workspace:
        assert workspace.run(["cat", str(tmp_path / "shown" / "file")]).stdout == "shown"
        assert workspace.run(["cat", str(tmp_path / "hidden")]).exit_code == 1
    with (
        pytest.raises(SandboxError, match=r"never', which does not exist: give existing"),
        sandbox.workspace(SandboxLimits(), readable=[tmp_path / "never"]),
    ):
        raise AssertionError("opened")


def test_two_workspaces_do_not_see_each_other(sandbox: Sandbox) -> None:
    with sandbox.workspace(SandboxLimits()) as one, sandbox.workspace(SandboxLimits()) as other:
        one.write("file", b"of one")
        where = one.run(["sh", "-c", "realpath file"]).stdout.strip()
        assert other.run(["cat", where]).exit_code == 1
        assert other.files() == ()


def test_a_program_in_conversation_answers_line_by_line(workspace: Workspace) -> None:
    program = "import sys\nfor line in sys.stdin: print(line[::-1].strip(), flush=True)"
    with workspace.converse(["python3", "-c", program]) as conversation:
        assert [conversation.ask(line) for line in ("abc", "", "\u00e4\u00f6", "\ud800")] == [
            "cba",
            "",
            "\u00f6\u00e4",
            "008du\\",
        ]
        with pytest.raises(ValueError, match="no line break"):
            conversation.ask("a\nb")


@pytest.mark.parametrize(
    ("program", "ending", "code"),
    [
        ("import sys; sys.stdin.readline(); print('no line', end=''); sys.exit(4)", "exited", 4),
        ("import time; time.sleep(60)", "wall_time", None),
        ("import os, sys; sys.stdin.readline(); os.abort()", "signalled", None),
        ("while True: print('x' * 100, end='')", "output", None),
        ("import sys\nwhile True: pass", "cpu_time", None),
    ],
)
def test_a_conversation_that_ends_says_how(sandbox: Sandbox, program: str, ending: str, code: int | None) -> None:
    limits = SandboxLimits(wall_seconds=1.5, cpu_seconds=0.3)
    limits = limits if ending == "wall_time" else replace(limits, wall_seconds=60.0)
    with sandbox.workspace(limits) as workspace, workspace.converse(["python3", "-c", program]) as conversation:
        for _ in range(2):
            with pytest.raises(ProgramEndedError) as caught:
                conversation.ask("now")
            assert (caught.value.result.ending, caught.value.result.exit_code) == (ending, code)


def test_a_program_that_does_not_read_does_not_hold_the_host(sandbox: Sandbox) -> None:
    with (
        sandbox.workspace(SandboxLimits(wall_seconds=0.5)) as workspace,
        workspace.converse(["sleep", "60"]) as conversation,
        pytest.raises(ProgramEndedError),
    ):
        conversation.ask("x" * 1_000_000)


def test_a_conversation_outlives_the_thread_that_began_it(workspace: Workspace) -> None:
    context = workspace.converse(["python3", "-u", "-c", "while True: print(input())"])
    begun: list = []
    thread = threading.Thread(target=lambda: begun.append(context.__enter__()))
    thread.start()
    thread.join()
    assert begun[0].ask("still there") == "still there"
    context.__exit__(None, None, None)


def test_a_closed_workspace_runs_nothing(sandbox: Sandbox) -> None:
    with sandbox.workspace(SandboxLimits()) as workspace:
        pass
    with pytest.raises(SandboxError, match="the workspace is closed"):
        workspace.run(["true"])


def test_many_workspaces_work_side_by_side(sandbox: Sandbox) -> None:
    said: dict[int, str] = {}

    def work(number: int) -> None:
        with sandbox.workspace(SandboxLimits(wall_seconds=120.0)) as workspace:
            workspace.write("number", str(number).encode())
            said[number] = workspace.run(["cat", "number"]).stdout

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == {number: str(number) for number in range(16)}


def test_no_descriptor_is_left(sandbox: Sandbox) -> None:
    def work() -> None:
        with sandbox.workspace(SandboxLimits()) as workspace:
            workspace.run(["sleep", "60"], limits=SandboxLimits(wall_seconds=0.2))
            with workspace.converse(["cat"]) as conversation:
                conversation.ask("x")

    work()
    before = len(list(Path("/proc/self/fd").iterdir()))
    work()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


PARENT = """
import sys
from turnwright.sandbox import SandboxLimits, open_sandbox
with open_sandbox(sys.argv[1]).workspace(SandboxLimits(wall_seconds=600.0)) as workspace:
    workspace.write("x", b"")
    print(workspace._folder, flush=True)
    program = "import os, time; os.fork() or os.setsid(); os.fork(); time.sleep(600)"
    workspace.run(["python3", "-c", program], environment={"MARK": sys.argv[2]})
"""


def test_a_killed_parent_leaves_no_process_and_its_folder_is_swept(
    sandbox: Sandbox, child_environment: Mapping[str, str]
) -> None:
    mark = secrets.token_hex(16)
    command = [sys.executable, "-c", PARENT, sandbox.name, mark]
    with subprocess.Popen(command, env=child_environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        folder = Path(parent.stdout.readline().strip())
        while len(processes_with(mark)) < 4:
            assert parent.poll() is None
            time.sleep(0.01)
        parent.send_signal(signal.SIGKILL)
    while processes_with(mark):
        time.sleep(0.01)
    assert folder.exists()
    type(sandbox)()
    assert not folder.exists()


ELSEWHERE = """
import sys
from turnwright.sandbox import SandboxLimits
from turnwright.sandbox.choose import open_sandbox
with open_sandbox(sys.argv[1]).workspace(SandboxLimits(disk_bytes=1024 * 1024)) as workspace:
    print(workspace.run(["python3", "-c", "print(6 * 7)"]))
"""


def test_an_interpreter_below_the_temporary_folder_takes_none_of_the_disk(
    sandbox: Sandbox, child_environment: Mapping[str, str], tmp_path: Path
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (tmp_path / "venv" / "large").write_bytes(secrets.token_bytes(4 * 1024 * 1024))
    python = tmp_path / "venv" / "bin" / "python3"
    done = subprocess.run(
        [python, "-c", ELSEWHERE, sandbox.name], env=child_environment, capture_output=True, text=True, check=False
    )
    assert "ending='exited', exit_code=0, stdout='42\\n'" in done.stdout, done.stderr
