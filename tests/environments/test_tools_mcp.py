"""Tools of real MCP servers, one process for each episode: state, faults, ends, names."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from turnwright.agents.builtin import LoopLimits
from turnwright.core.episode import Episode, EpisodeKey
from turnwright.core.errors import ConfigError, EnvironmentLoadError
from turnwright.core.message import Message, ToolCall
from turnwright.core.outcome import Failed, Rewarded
from turnwright.core.task import Split, Task
from turnwright.environments import Script, ToolAnswer, ToolCrash, call, say, tool
from turnwright.environments.imported.mcp import McpEnvironment, McpServer
from turnwright.environments.imported.mcp_connection import McpConnection, McpPlace
from turnwright.environments.imported.mcp_processes import MARK
from turnwright.environments.resources.base import ResourceClosedError
from turnwright.environments.scripts import numbered
from turnwright.rollout.demonstrations import ScriptedPolicy, run_script
from turnwright.rollout.runner import EpisodeLimits, run_episode

pytest.importorskip("mcp", reason="the extra turnwright[mcp] is not installed")
pytestmark = pytest.mark.slow

FILE = Path(__file__).with_name("mcp_desk_server.py")
COMMAND = [sys.executable, str(FILE), "--episode", "{task_id}/{seed}"]
TASKS = [Task(id=f"t/{number}", prompt="close both tickets", data={"level": str(number)}) for number in range(4)]


class Desk(McpEnvironment):
    def __init__(self, *flags: str, **options: Any) -> None:
        server = McpServer(
            [*COMMAND, *flags], variables=lambda task, seed: {"DESK_LEVEL": task.data["level"]}, **options
        )
        self.resources = {"desk": server}

    def tasks(self, split: Split) -> Iterable[Task]:
        return TASKS if split == "train" else []

    def reward(self, episode: Episode) -> float:
        return float("0 left" in episode.answer)

    @tool
    def count(self) -> int:
        """Count."""
        return 1

    def oracle(self, task: Task) -> Script:
        yield call("desk_tickets_close", ticket=1)
        (answer,) = yield call("desk_tickets_close", ticket=2)
        yield say(answer.content)


@pytest.fixture(scope="module")
def desk() -> Desk:
    environment = Desk()
    environment.tool_specs()
    return environment


def ask(environment: McpEnvironment, name: str, seconds: float = 60, /, **arguments: Any) -> ToolAnswer:
    return asyncio.run(
        environment.call_tool(ToolCall(id="c", name=name, arguments=json.dumps(arguments)), timeout_seconds=seconds)
    )


def opened(environment: Desk, task: Task = TASKS[1], seed: int = 7) -> Desk:
    episode = environment.for_episode()
    episode.open(task, seed)
    return episode


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid: int) -> bool:
    """Whether a process is gone, or goes soon: its end may still be on the way."""
    until = time.monotonic() + 20
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not alive(pid)


def test_schemas_are_verbatim_and_names_are_mapped_back(desk: Desk) -> None:
    tools = desk.tools()
    assert list(tools)[:2] == ["desk_tickets_close", "who"]
    assert list(tools)[-1] == "count"
    spec = tools["desk_tickets_close"].spec
    assert spec.description == "Close a ticket."
    assert spec.parameters["properties"]["note"]["anyOf"] == [{"type": "string"}, {"type": "null"}]
    episode = opened(desk)
    try:
        assert ask(episode, "desk_tickets_close", ticket=1).message.content == "closed 1, 1 left"
        assert ask(episode, "desk_tickets_close", ticket="2").outcome.malformed
        refused = ask(episode, "desk_tickets_close", ticket=9)
        assert (refused.outcome.error, refused.outcome.malformed) == (True, False)
        assert "no ticket 9" in refused.message.content
        assert "photo answered with image; only text can be shown here" in ask(episode, "photo").message.content
    finally:
        episode.close()


def test_episode_without_calls_starts_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.tools()
    started: list[str] = []
    monkeypatch.setattr(subprocess.Popen, "__init__", lambda *command, **options: started.append("process"))
    opened(desk).close()
    assert run(desk, say("nothing left")).outcome == Rewarded(value=0.0)
    assert not started


def test_server_is_told_its_episode_and_nothing_else(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESK_KEY", "k1")
    monkeypatch.setenv("OTHER_KEY", "k2")
    episode = opened(Desk(inherited=["DESK_KEY"]))
    told = json.loads(ask(episode, "who").message.content)
    episode.close()
    seed = told["TURNWRIGHT_SEED"]
    assert seed.isdecimal()
    assert (told["TURNWRIGHT_TASK_ID"], told["arguments"]) == ("t/1", f"--episode t/1/{seed}")
    assert (told["DESK_LEVEL"], told["DESK_KEY"], told["OTHER_KEY"]) == ("1", "k1", "")
    assert gone(int(told["pid"]))
    with pytest.raises(ToolCrash, match="no open resource"):
        ask(episode, "who")


def test_episodes_side_by_side_have_a_state_each(desk: Desk) -> None:
    async def play() -> list[Episode]:
        return await asyncio.gather(*(run_script(desk, task, "oracle", seed=3) for task in TASKS))

    for episode in asyncio.run(play()):
        assert episode.outcome == Rewarded(value=1.0)
        assert [turn.responses[0].content for turn in episode.turns[:2]] == ["closed 1, 1 left", "closed 2, 0 left"]


def run(desk: Desk, *script: Message) -> Episode:
    limits = EpisodeLimits(loop=LoopLimits(max_turns=9, tool_timeout=60))
    policy = ScriptedPolicy(numbered(script))
    return asyncio.run(run_episode(desk, TASKS[0], EpisodeKey(task_id="t/0", attempt=0), policy, limits, seed=1))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("die", "broke: Connection closed .*the disk is on fire"),
        ("babble", "tool 'babble' of the MCP server .* broke"),
    ],
)
def test_fault_fails_the_episode_and_leaves_no_process(desk: Desk, name: str, words: str) -> None:
    episode = run(desk, call("who"), call(name), say("0 left"))
    assert isinstance(episode.outcome, Failed)
    assert episode.outcome.cause == "tool_error"
    assert re.search(words, episode.outcome.detail, re.DOTALL)
    assert gone(int(json.loads(episode.turns[0].responses[0].content)["pid"]))


def test_tool_that_takes_too_long_leaves_no_process(desk: Desk) -> None:
    episode = opened(desk)
    pid = int(json.loads(ask(episode, "who").message.content)["pid"])
    with pytest.raises(ToolCrash, match=r"'stall' did not answer within 0\.1 s") as caught:
        ask(episode, "stall", 0.1)
    assert caught.value.cause == "tool_timeout"
    episode.close()
    assert gone(pid)


def test_cancelled_episode_leaves_no_process(desk: Desk) -> None:
    seen: list[int] = []

    async def cancelled() -> None:
        class Waiting(ScriptedPolicy):
            async def chat(self, messages: Any, tools: Any) -> Any:
                if messages[-1].role == "tool":
                    seen.append(int(json.loads(messages[-1].content)["pid"]))
                    asking.set()
                return await super().chat(messages, tools)

        asking = asyncio.Event()
        limits = EpisodeLimits(loop=LoopLimits(max_turns=9))
        key = EpisodeKey(task_id="t/0", attempt=0)
        policy = Waiting(numbered([call("who"), call("stall")]))
        episode = asyncio.create_task(run_episode(desk, TASKS[0], key, policy, limits, seed=1))
        await asking.wait()
        await asyncio.sleep(0)
        episode.cancel()
        with pytest.raises(asyncio.CancelledError):
            await episode

    asyncio.run(cancelled())
    assert gone(seen[0])


def test_server_that_takes_no_end_is_killed_with_its_children(desk: Desk) -> None:
    episode = opened(desk)
    pid = int(json.loads(ask(episode, "who").message.content)["pid"])
    child = int(ask(episode, "linger").message.content)
    assert alive(child)
    episode.close()
    assert gone(pid)
    assert gone(child)


def test_what_a_killed_process_left_is_swept(desk: Desk) -> None:
    owner = subprocess.Popen(["true"])
    owner.wait()
    left = subprocess.Popen(["sleep", "60"], env={MARK: f"{owner.pid}-0"})
    ours = subprocess.Popen(["sleep", "60"], env={MARK: f"{os.getpid()}-0"})
    try:
        assert f"process {left.pid}" in desk.sweep_leftovers()
        assert left.wait(20) == -signal.SIGKILL
        assert ours.poll() is None
    finally:
        ours.kill()
        ours.wait()


@pytest.mark.parametrize(
    ("flag", "cause", "words"),
    [("--silent", "tool_timeout", "not ready within 0.5 s"), ("--broken", "tool_error", "no licence for this host")],
)
def test_server_that_does_not_start_says_why(flag: str, cause: str, words: str) -> None:
    with pytest.raises(ToolCrash, match=words) as caught:
        Desk(flag, start_seconds=0.5 if flag == "--silent" else 30.0).tool_specs()
    assert caught.value.cause == cause


def test_program_that_does_not_exist_is_named() -> None:
    with pytest.raises(ToolCrash, match="No such file"):
        McpConnection(McpPlace(command=("/nowhere/server",)), start_seconds=5).open()


def test_tools_are_chosen_and_renamed() -> None:
    chosen = Desk(allow=["who", "desk/tickets.close"], rename={"desk/tickets.close": "close"})
    assert list(chosen.tools()) == ["who", "close", "count"]
    episode = opened(chosen)
    assert ask(episode, "close", ticket=2).message.content == "closed 2, 1 left"
    episode.close()
    assert "die" not in Desk(deny=["die"]).tools()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"deny": ["dye"]}, "has no tool 'dye'; it has: desk/tickets.close, who"),
        ({"rename": {"who": "photo"}}, "'who' and 'photo' would both be 'photo'"),
        ({"rename": {"who": "count"}}, "server 'desk' and a @tool method both have a tool 'count'"),
        ({"rename": {"who": "wer da"}}, "cannot be renamed to 'wer da'"),
    ],
)
def test_names_that_do_not_add_up_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(EnvironmentLoadError, match=words):
        Desk(**options).tools()


def test_tools_that_depend_on_the_task_are_refused() -> None:
    environment = Desk("--other")
    environment.tools()
    with pytest.raises(ToolCrash, match="lists 'extra' otherwise than when it was loaded"):
        ask(opened(environment, Task(id="odd", prompt="", data={"level": "9"})), "who")


def test_call_after_the_end_is_refused() -> None:
    connection = McpConnection(McpPlace(command=(sys.executable, str(FILE))), start_seconds=30)
    connection.open()
    connection.close()
    connection.close()
    with pytest.raises(ResourceClosedError, match="after its episode ended"):
        asyncio.run(connection.call("who", {}))


def test_secret_header_must_be_set() -> None:
    server = McpServer("http://127.0.0.1:1/mcp", secret_headers={"Authorization": "DESK_AUTHORIZATION"})
    assert "DESK_AUTHORIZATION" not in os.environ
    with pytest.raises(ConfigError, match="'DESK_AUTHORIZATION' is not set"):
        server.offered(TASKS[0])
