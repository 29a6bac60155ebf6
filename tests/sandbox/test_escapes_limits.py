"""Programs that take too much or do not end: each is stopped at its limit, and nothing of it is left."""

import secrets
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.conftest import processes_with
from turnwright.sandbox import RunResult, Sandbox, SandboxError, SandboxLimits, Workspace
from turnwright.sandbox.base import MEBIBYTE
from turnwright.sandbox.landlock import LandlockSandbox

pytestmark = pytest.mark.sandbox

LIMITS = SandboxLimits(
    memory_bytes=128 * MEBIBYTE,
    processes=16,
    cpu_seconds=2.0,
    wall_seconds=4.0,
    output_bytes=10_000,
    disk_bytes=2 * MEBIBYTE,
)
SETUP = "import ctypes, mmap, os, resource, signal, sys, threading, time\n"
ENDLESS = 60
"""Seconds that a program would go on; no limit is near it."""


def run(sandbox: Sandbox, program: str, limits: SandboxLimits = LIMITS) -> RunResult:
    """Run a program in a workspace of its own, and see that nothing of it is left."""
    mark = secrets.token_hex(16)
    with sandbox.workspace(limits) as workspace:
        workspace.write("main.py", (SETUP + program).encode())
        result = workspace.run(["python3", "-I", "-u", "main.py"], environment={"MARK": mark})
        assert processes_with(mark) == []
    return result


def test_a_fork_bomb_gets_no_more_processes_than_allowed(sandbox: Sandbox) -> None:
    bomb = """
started = 0
try:
    while started < 1000:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        started += 1
except OSError as error:
    print(started, error.errno)
"""
    result = run(sandbox, bomb)
    assert (result.ending, result.stdout) == ("exited", "15 11\n")


def test_a_fork_bomb_that_does_not_give_up_ends_at_a_limit(sandbox: Sandbox) -> None:
    bomb = """
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
    assert run(sandbox, bomb, replace(LIMITS, wall_seconds=1.0)).ending in ("cpu_time", "wall_time")


def test_a_chain_of_processes_that_are_gone_before_they_are_seen_is_ended(sandbox: Sandbox) -> None:
    chain = """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    if os.fork():
        os._exit(0)
    os.setsid()
"""
    began = f"""
if os.fork():
    time.sleep({ENDLESS})
"""
    limits = replace(LIMITS, wall_seconds=0.5, cpu_seconds=20.0)
    assert run(sandbox, began + chain, limits).ending == "wall_time"


@pytest.mark.parametrize("abi", [3, 4, 5])
def test_on_an_older_kernel_a_chain_is_ended_as_one_group(abi: int) -> None:
    try:
        older = LandlockSandbox()
    except SandboxError as error:
        pytest.skip(str(error))
    older._abi = abi
    chain = f"""
if os.fork():
    time.sleep({ENDLESS})
os.setsid()
os.setpgid(0, 0)
while True:
    if os.fork():
        os._exit(0)
"""
    assert run(older, chain, replace(LIMITS, wall_seconds=0.5, cpu_seconds=20.0)).ending == "wall_time"


def test_a_thread_bomb_gets_no_more_threads_than_allowed(sandbox: Sandbox) -> None:
    bomb = """
started = 0
try:
    while started < 1000:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        started += 1
except RuntimeError as error:
    print(started, flush=True)
    os._exit(0)
"""
    result = run(sandbox, bomb)
    assert (result.ending, result.stdout) == ("exited", "15\n")


@pytest.mark.parametrize(
    "bomb",
    [
        "kept = []\nwhile True: kept.append(bytearray(1 << 22))",
        "kept = mmap.mmap(-1, 1 << 28)\nfor at in range(0, 1 << 28, 4096): kept[at] = 1\ntime.sleep(60)",
        "kept = mmap.mmap(-1, 1 << 28, flags=mmap.MAP_PRIVATE)\n"
        "for at in range(0, 1 << 28, 4096): kept[at] = 1\ntime.sleep(60)",
        "for _ in range(8):\n    if os.fork() == 0: break\nkept = bytearray(os.urandom(1 << 20)) * 24\ntime.sleep(60)",
    ],
    ids=["small pieces", "shared", "private", "many processes"],
)
def test_a_memory_bomb_is_ended(sandbox: Sandbox, bomb: str) -> None:
    assert run(sandbox, bomb).ending == "memory"


def test_memory_that_is_asked_for_at_once_is_refused_or_ends_the_program(sandbox: Sandbox) -> None:
    result = run(sandbox, "kept = bytearray(1 << 40)")
    assert (result.ending, result.exit_code) == ("exited", 1)
    assert "MemoryError" in result.stderr


def test_memory_that_processes_share_counts_once(sandbox: Sandbox) -> None:
    shared = """
kept = bytearray(os.urandom(1 << 20)) * 60
for _ in range(6):
    if os.fork() == 0:
        time.sleep(0.3)
        os._exit(0)
for _ in range(6):
    os.wait()
print(len(kept))
"""
    assert run(sandbox, shared).stdout == f"{60 << 20}\n"


def test_files_in_shared_memory_are_none_or_count_as_memory(sandbox: Sandbox) -> None:
    bomb = """
with open("/dev/shm/bomb", "wb") as stream:
    while True: stream.write(bytes(1 << 20))
"""
    several = "for number in range(100): open(f'/dev/shm/{number}', 'wb').write(bytes(1 << 22))"
    for program in (bomb, several):
        result = run(sandbox, program)
        assert result.ending == "memory" or "Error" in result.stderr


def test_memory_files_without_a_name_count_as_disk(sandbox: Sandbox) -> None:
    bomb = """
for number in range(100):
    os.write(os.memfd_create(str(number)), bytes(1 << 20))
time.sleep(60)
"""
    assert run(sandbox, bomb).ending == "disk"


@pytest.mark.parametrize(
    "bomb",
    [
        "with open('big', 'wb') as stream:\n    while True: stream.write(bytes(1 << 16))",
        "for number in range(100_000): open(str(number), 'wb').write(bytes(1 << 16))",
        "for number in range(100_000): open(str(number), 'wb').close()",
        "for number in range(100_000): os.mkdir(str(number))",
        "for number in range(100_000): os.symlink('/', str(number))",
        "kept = [os.open('.', os.O_TMPFILE | os.O_RDWR) for _ in range(200)]\n"
        "for file in kept: os.write(file, bytes(1 << 17))\ntime.sleep(60)",
        "kept = []\nfor number in range(200):\n"
        "    kept.append(open('x', 'wb')); kept[-1].write(bytes(1 << 17)); kept[-1].flush(); os.unlink('x')\n"
        "time.sleep(60)",
        "while True:\n    os.mkdir('deeper')\n    os.chdir('deeper')",
        "os.mkdir('closed')\nos.chdir('closed')\nos.chmod('.', 0o300)\n"
        "for number in range(1000): open(str(number), 'wb').write(bytes(1 << 16))\nos.chmod('.', 0)\ntime.sleep(60)",
        "os.chdir(os.environ['TMPDIR'])\nfor number in range(1000): open(str(number), 'wb').write(bytes(1 << 16))",
    ],
    ids=[
        "one file",
        "many files",
        "empty files",
        "folders",
        "links",
        "without a name",
        "deleted",
        "deep",
        "unreadable",
        "temporary",
    ],
)
def test_a_disk_bomb_is_ended(sandbox: Sandbox, bomb: str) -> None:
    assert run(sandbox, bomb).ending == "disk"


def test_a_sparse_file_takes_no_more_than_it_may(sandbox: Sandbox) -> None:
    with sandbox.workspace(LIMITS) as workspace:
        result = workspace.run(["python3", "-c", "open('sparse', 'wb').truncate(1 << 40)"])
        assert "File too large" in result.stderr
        assert workspace.read("sparse") == b""
        assert workspace.run(["sh", "-c", "ulimit -f unlimited"]).exit_code != 0


def test_one_program_does_not_pay_for_the_files_it_may_read(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(9 * MEBIBYTE))
    with sandbox.workspace(LIMITS, readable=[tmp_path]) as workspace:
        assert workspace.run(["wc", "-c", str(tmp_path / "large")]).stdout.split()[0] == str(9 * MEBIBYTE)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_an_output_bomb_is_cut_and_ended(sandbox: Sandbox, stream: str) -> None:
    result = run(sandbox, f"while True: sys.{stream}.write('x' * 1000)")
    assert result.ending == "output"
    assert getattr(result, stream) == "x" * LIMITS.output_bytes


def test_output_up_to_the_limit_is_no_bomb(sandbox: Sandbox) -> None:
    result = run(sandbox, f"sys.stdout.write('x' * {LIMITS.output_bytes})")
    assert (result.ending, len(result.stdout)) == ("exited", LIMITS.output_bytes)
    over = run(sandbox, f"sys.stdout.write('x' * {LIMITS.output_bytes + 1})")
    assert (over.ending, len(over.stdout)) == ("output", LIMITS.output_bytes)


@pytest.mark.parametrize(
    "loop",
    [
        "while True: pass",
        "for _ in range(3): os.fork()\nwhile True: pass",
        "for _ in range(3): threading.Thread(target=lambda: sum(1 for _ in iter(int, 1))).start()",
        "resource.setrlimit(resource.RLIMIT_CPU, resource.getrlimit(resource.RLIMIT_CPU))\n"
        "signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
        "while True:\n    if os.fork() == 0:\n        sum(range(3_000_000))\n        os._exit(0)\n    os.wait()",
    ],
    ids=["one process", "many processes", "threads", "ignored signal", "one after the other"],
)
def test_a_loop_ends_at_the_limit_of_processor_time(sandbox: Sandbox, loop: str) -> None:
    limits = replace(LIMITS, cpu_seconds=0.3, wall_seconds=60.0)
    assert run(sandbox, loop, limits).ending == "cpu_time"


def test_sleep_past_the_limit_is_ended_however_deaf(sandbox: Sandbox) -> None:
    deaf = f"""
for number in set(range(1, 65)) - {{9, 19, 32, 33}}:
    signal.signal(number, signal.SIG_IGN)
time.sleep({ENDLESS})
"""
    result = run(sandbox, deaf, replace(LIMITS, wall_seconds=0.3))
    assert result.ending == "wall_time"
    assert 0.3 <= result.wall_seconds < ENDLESS


def test_a_daemon_ends_with_the_program_that_left_it(sandbox: Sandbox) -> None:
    daemon = f"""
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.chdir("/usr")
        for file in (0, 1, 2):
            os.close(file)
        time.sleep({ENDLESS})
    os._exit(0)
time.sleep(0.2)
print("left it")
"""
    result = run(sandbox, daemon)
    assert (result.ending, result.stdout) == ("exited", "left it\n")
    assert result.wall_seconds < ENDLESS


def test_a_stopped_program_ends_at_the_limit_of_time(sandbox: Sandbox) -> None:
    limits = replace(LIMITS, wall_seconds=0.3)
    assert run(sandbox, "os.kill(os.getpid(), signal.SIGSTOP)", limits).ending == "wall_time"


def test_a_program_that_kills_all_it_can_reach_ends_itself_at_most(sandbox: Sandbox) -> None:
    result = run(sandbox, "os.kill(-1, signal.SIGKILL)\nprint('nobody else')")
    assert result.ending in ("exited", "signalled")


def test_arguments_without_end_are_the_programs_own_problem(workspace: Workspace) -> None:
    result = workspace.run(["echo", "x" * (1 << 20)])
    assert (result.ending, result.exit_code, result.stderr) == ("exited", 126, "echo: Argument list too long\n")


def test_closing_a_workspace_ends_what_runs_in_it(sandbox: Sandbox) -> None:
    results: list[RunResult] = []
    mark = secrets.token_hex(16)
    with sandbox.workspace(LIMITS) as workspace:
        program = ["sh", "-c", f"echo started > file; sleep {ENDLESS}"]
        limits = replace(LIMITS, wall_seconds=float(ENDLESS))

        def work() -> None:
            results.append(workspace.run(program, environment={"MARK": mark}, limits=limits))

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        while "file" not in workspace.files() or not processes_with(mark):
            time.sleep(0.01)
    assert processes_with(mark) == []
    for thread in threads:
        thread.join()
    assert {result.ending for result in results} <= {"closed"}


def test_two_programs_of_a_workspace_end_one_by_one(sandbox: Sandbox) -> None:
    echo = ["python3", "-u", "-c", "while True: print(input().upper())"]
    with sandbox.workspace(LIMITS) as workspace, workspace.converse(echo) as conversation:
        assert conversation.ask("before") == "BEFORE"
        assert workspace.run(["sh", "-c", f"sleep {ENDLESS} & kill -9 $$"]).ending == "signalled"
        assert conversation.ask("after") == "AFTER"
