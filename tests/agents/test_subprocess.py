"""Programs as agents: what they are told, what their end means, and that nothing of them stays behind."""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from turnwright.agents import process
from turnwright.agents.base import AgentError, AgentReport
from turnwright.agents.process import ProcessGroup
from turnwright.agents.subprocess import SubprocessAgent
from turnwright.core.errors import ConfigError


def launch(command: list[str], request, **options: Any) -> AgentReport | None:
    async def go() -> AgentReport | None:
        agent = SubprocessAgent(command, **{"timeout": 30.0, **options})
        try:
            return await agent.launch(request)
        finally:
            await agent.close()

    return asyncio.run(go())


def python(source: str) -> list[str]:
    return [sys.executable, "-c", source]


def shell(source: str) -> list[str]:
    return ["sh", "-c", source]


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def is_running(pid: int) -> bool:
    """Whether a process exists; one that is dead and waits for its parent does not count."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


async def read_pids(file: Path, count: int) -> list[int]:
    """Wait until a program has written so many process ids."""
    while True:
        pids = file.read_text().split() if file.exists() else []
        if len(pids) == count:
            return [int(pid) for pid in pids]
        await asyncio.sleep(0.01)


async def until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 5
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline, f"still running: {pids}"
        await asyncio.sleep(0.01)


def test_a_program_is_told_everything_by_its_environment(rollout, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("INHERITED", "yes")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "mine")
    source = "import json, os, sys; json.dump([dict(os.environ), sys.stdin.read(), os.getcwd()], open('seen', 'w'))"
    request = rollout()
    assert launch(python(source), request, env={"DESK": "7"}, cwd=tmp_path) == AgentReport()
    env, stdin, folder = json.loads((tmp_path / "seen").read_text())
    assert folder == str(tmp_path)
    payload = json.loads(json.dumps(request.payload()))
    assert json.loads(stdin) == json.loads(env["TURNWRIGHT_ROLLOUT"]) == payload
    assert "ANTHROPIC_AUTH_TOKEN" not in env
    expected = {
        "INHERITED": "yes",
        "DESK": "7",
        "TURNWRIGHT_ENDPOINT": "http://127.0.0.1:8321",
        "RFT_RUNTIME_ENDPOINT": "http://127.0.0.1:8321",
        "TURNWRIGHT_TRAJECTORY_ID": "t-5f2c",
        "TURNWRIGHT_API_KEY": "tw1.all",
        "OPENAI_BASE_URL": "http://127.0.0.1:8321/t/t-5f2c/v1",
        "OPENAI_API_KEY": "tw1.sample",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:8321/t/t-5f2c",
        "ANTHROPIC_API_KEY": "tw1.sample",
    }
    assert {name: env.get(name) for name in expected} == expected


def test_a_payload_too_long_for_a_variable_comes_on_standard_input(rollout) -> None:
    source = (
        "import json, os, sys; print(json.dumps({'rewards': [len(json.load(sys.stdin)['prompt']),"
        " 'TURNWRIGHT_ROLLOUT' in os.environ and 1.0 or 0.0]}))"
    )
    assert launch(python(source), rollout(prompt="x" * 3_000_000)) == AgentReport(rewards=(3_000_000.0, 0.0))


def test_standard_input_need_not_be_read(rollout) -> None:
    assert launch(["true"], rollout(prompt="x" * 3_000_000)) == AgentReport()


@pytest.mark.parametrize(
    ("output", "report"),
    [
        ("", AgentReport()),
        ("done", AgentReport()),
        ("17", AgentReport()),
        ('{"level": "info"}', AgentReport()),
        ('{"reward": 1}\nbye', AgentReport()),
        (
            'thinking\n{"reward": 0.5, "components": {"format": 1}}\n\n',
            AgentReport(rewards=(0.5,), components={"format": 1}),
        ),
        ('{"status": "error", "error": "no tw1.all"}', AgentReport(error="no [key]")),
        ('{"status": "skipped"}', AgentReport(skipped=True)),
    ],
)
def test_the_last_line_may_be_a_report(output: str, report: AgentReport, rollout) -> None:
    assert launch(["printf", "%s", output], rollout()) == report


def test_a_report_that_is_none_is_an_error_of_the_agent(rollout) -> None:
    with pytest.raises(AgentError, match="command 'echo' returned a reward of nan") as caught:
        launch(["echo", '{"reward": NaN}'], rollout())
    assert caught.value.cause == "agent_error"


@pytest.mark.parametrize(
    ("source", "detail"),
    [
        (
            "echo no order for $TURNWRIGHT_API_KEY >&2; exit 3",
            "exited with code 3; its standard error: no order for [key]",
        ),
        ("exit 1", "exited with code 1; its standard error: nothing"),
        ("kill -9 $$", "was ended by SIGKILL; its standard error: nothing"),
        ("kill -40 $$", "was ended by signal 40; its standard error: nothing"),
    ],
)
def test_an_exit_with_an_error_is_an_agent_error(source: str, detail: str, rollout) -> None:
    with pytest.raises(AgentError) as caught:
        launch(shell(source), rollout())
    assert (caught.value.cause, caught.value.detail) == ("agent_error", f"command 'sh' {detail}")


@pytest.mark.parametrize(
    ("command", "cwd", "said"),
    [
        (["no-such-program"], None, "command 'no-such-program' cannot be started: .*No such file"),
        (["/"], None, "cannot be started: .*Permission denied"),
        (["true"], Path("no/such/folder"), "cannot be started in no/such/folder: .*No such file"),
        (["true", "a\0b"], None, "cannot be started: .*null byte"),
    ],
)
def test_a_program_that_cannot_be_started_is_unreachable(
    command: list[str], cwd: Path | None, said: str, rollout
) -> None:
    with pytest.raises(AgentError, match=said) as caught:
        launch(command, rollout(), cwd=cwd)
    assert caught.value.cause == "agent_unreachable"


def test_of_endless_output_only_the_end_is_kept(rollout) -> None:
    async def go() -> tuple[str, str]:
        source = "import sys; sys.stdout.write('x' * 5_000_000 + 'out'); sys.stderr.write('y' * 5_000_000 + 'err')"
        group = await ProcessGroup.start(python(source), env=os.environ, cwd=None, stdin=b"")
        await group.wait()
        await group.end(grace_seconds=1)
        assert group.exit_code == 0
        return group.output(), group.errors()

    for text, end in zip(asyncio.run(go()), ("xout", "yerr"), strict=True):
        assert (len(text), text[-4:]) == (process.KEPT_BYTES, end)


LEAVES_CHILDREN = "echo $$ >> {file}; sleep 60 & echo $! >> {file}; {then}"


def test_what_a_program_leaves_running_is_ended_with_it(rollout, tmp_path: Path) -> None:
    file = tmp_path / "pids"
    before = open_files()

    async def go() -> None:
        agent = SubprocessAgent(shell(LEAVES_CHILDREN.format(file=file, then="exit 0")), timeout=30)
        began = time.monotonic()
        assert await agent.launch(rollout()) == AgentReport()
        assert time.monotonic() - began < 10
        await until_gone(await read_pids(file, 2))

    asyncio.run(go())
    assert open_files() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "then", ["wait", "trap '' TERM; while true; do sleep 0.1; done"], ids=["obeys", "ignores SIGTERM"]
)
@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_timeout_or_a_cancellation_ends_the_whole_group(
    then: str, is_cancelled: bool, rollout, tmp_path: Path
) -> None:
    file = tmp_path / "pids"
    before = open_files()

    async def go() -> None:
        command = shell(LEAVES_CHILDREN.format(file=file, then=f"echo working >&2; {then}"))
        agent = SubprocessAgent(command, timeout=60 if is_cancelled else 1, grace_seconds=0.1)
        launching = asyncio.create_task(agent.launch(rollout()))
        if is_cancelled:
            await asyncio.wait_for(read_pids(file, 2), 10)
            launching.cancel()
            with pytest.raises(asyncio.CancelledError):
                await launching
        else:
            with pytest.raises(AgentError, match="did not end within 1 s; its standard error: working") as caught:
                await launching
            assert caught.value.cause == "agent_timeout"
        pids = await read_pids(file, 2)
        await until_gone(pids)
        with pytest.raises(ChildProcessError):  # reaped
            os.waitpid(pids[0], os.WNOHANG)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(go())
    assert open_files() == before


@pytest.mark.slow
def test_a_program_may_clean_up_when_it_is_asked_to_end(rollout, tmp_path: Path) -> None:
    file = tmp_path / "cleaned"
    source = f"trap 'touch {file}; exit' TERM; echo ready >&2; sleep 60 & wait"
    with pytest.raises(AgentError, match="did not end within 1 s; its standard error: ready"):
        launch(shell(source), rollout(), timeout=1, grace_seconds=20)
    assert file.exists()


def test_cancelling_while_the_process_starts_leaves_nothing(rollout, tmp_path: Path) -> None:
    before = open_files()

    async def go() -> None:
        agent = SubprocessAgent(shell(f"echo $$ >> {tmp_path}/$$; sleep 60 & wait"), timeout=60)
        for _ in range(20):
            launching = asyncio.create_task(agent.launch(rollout()))
            await asyncio.sleep(0)
            launching.cancel()
            with pytest.raises(asyncio.CancelledError):
                await launching
        await until_gone([int(file.name) for file in tmp_path.iterdir()])
        missing = SubprocessAgent(["no-such-program"], timeout=60)
        launching = asyncio.create_task(missing.launch(rollout()))
        await asyncio.sleep(0)
        launching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await launching

    asyncio.run(go())
    assert open_files() == before


@pytest.mark.slow
def test_a_descendant_of_its_own_session_that_keeps_the_pipes_open_does_not_hold_the_launch(
    rollout, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(process, "DRAIN_SECONDS", 0.2)
    file = tmp_path / "pid"
    source = (
        "import os, time\nif os.fork() == 0:\n  os.setsid()\n"
        f"  open({str(file)!r}, 'w').write(str(os.getpid()))\n  time.sleep(60)\n"
        f"while not os.path.exists({str(file)!r}): time.sleep(0.01)\nos._exit(0)"
    )
    before = open_files()
    began = time.monotonic()
    assert launch(python(source), rollout()) == AgentReport()
    assert time.monotonic() - began < 10
    assert open_files() == before
    (pid,) = asyncio.run(asyncio.wait_for(read_pids(file, 1), 5))
    os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_many_at_once(rollout) -> None:
    async def go() -> list[AgentReport | None]:
        agent = SubprocessAgent(["echo", '{"reward": 1}'], timeout=30)
        return await asyncio.gather(*(agent.launch(rollout()) for _ in range(50)))

    before = open_files()
    assert asyncio.run(go()) == [AgentReport(rewards=(1.0,))] * 50
    assert open_files() == before


def test_settings_without_effect_are_refused() -> None:
    with pytest.raises(ConfigError, match="command is empty"):
        SubprocessAgent([], timeout=1)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY is set for each rollout"):
        SubprocessAgent(["true"], timeout=1, env={"OPENAI_API_KEY": "sk-mine"})
