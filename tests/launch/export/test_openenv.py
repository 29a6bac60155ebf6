"""The OpenEnv-style service over real HTTP and through real sockets of the test client."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from launch.export.driving import DESK, TASKS, action_of, comparable, drive, in_process, read_message, serving, written
from turnwright.core.episode import Episode
from turnwright.core.message import Message
from turnwright.core.outcome import Failed, Rewarded, Truncated
from turnwright.core.task import Task
from turnwright.environments import Environment, load_environment, tool
from turnwright.launch.export.choice import Choice
from turnwright.launch.export.openenv_http import openenv_app
from turnwright.launch.export.sessions import ExportLimits, open_sessions

pytestmark = pytest.mark.slow


async def played(
    client: httpx2.AsyncClient,
    number: int,
    script: str = "oracle",
    prototype: Environment = DESK,
    tasks: Sequence[Task] = TASKS,
) -> Episode:
    """Play a task over HTTP, compare each message with that of this process, and return the latter's episode."""
    task, seed = tasks[number], 100 + number
    episode_id = f"e{number}"
    expected = await in_process(task, seed, script, prototype)
    first = (await client.post("/reset", json={"task_id": task.id, "seed": seed, "episode_id": episode_id})).json()
    opening = [read_message(one) for one in first["observation"]["messages"]]
    assert tuple(opening) == expected.opening
    assert [one["name"] for one in first["observation"]["tools"]] == [spec.name for spec in expected.tools]
    assert (first["done"], first["reward"]) == (False, None)
    seen: list[Message] = []
    last: dict[str, Any] = {}

    async def say(message: Message) -> Sequence[Message] | None:
        body = {"action": action_of(message), "episode_id": episode_id}
        last.update((await client.post("/step", json=body)).json())
        seen.append(message)
        seen.extend(news := [read_message(one) for one in last["observation"]["messages"]])
        return None if last["done"] else news

    await drive(task, seed, say, script, prototype)
    assert tuple(opening + seen) == expected.messages
    assert not isinstance(expected.outcome, Failed)
    assert last["reward"] == expected.outcome.value
    assert last["metadata"]["components"] == dict(expected.outcome.components)
    return expected


def test_eight_sessions_at_once_equal_those_of_this_process(tmp_path: Path) -> None:
    path = tmp_path / "episodes.jsonl"

    async def run() -> list[Episode]:
        async with serving("openenv", path) as (url, _), httpx2.AsyncClient(base_url=url) as client:
            scripts = ["oracle", DESK.demonstrators()[0]]
            return await asyncio.gather(*(played(client, number, scripts[number % 2]) for number in range(8)))

    expected = {episode.task.id: episode for episode in asyncio.run(run())}
    episodes = written(path)
    assert {episode.task.id: comparable(episode) for episode in episodes} == {
        task_id: comparable(episode) for task_id, episode in expected.items()
    }
    assert sorted(episode.metadata["episode_id"] for episode in episodes) == [f"e{number}" for number in range(8)]
    assert any(outcome.value < 1 for episode in episodes if isinstance(outcome := episode.outcome, Rewarded))


ROOT = Path(__file__).parents[3]
SOP = os.environ.get("SOP_BENCH_DIR", "")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("hangar_inspection", marks=pytest.mark.slow),
        f"{ROOT}/examples/sql_desk/environment.py:SqlDesk",
        f"{ROOT}/examples/orders/environment.py:Orders",
        f"{ROOT}/examples/recorded_lookup/environment.py:Weather",
        pytest.param(
            f"sop:{SOP}/referral_abuse_detection_v1",
            marks=pytest.mark.skipif(not SOP, reason="SOP_BENCH_DIR is not set"),
        ),
    ],
)
def test_any_environment_is_served(name: str) -> None:
    prototype = load_environment(name)

    async def run() -> list[Episode]:
        async with (
            serving("openenv", prototype=prototype, max_turns=100) as (url, sessions),
            httpx2.AsyncClient(base_url=url) as client,
        ):
            tasks = sessions.tasks[sessions.split]
            return await asyncio.gather(*(played(client, number, "oracle", prototype, tasks) for number in range(4)))

    assert all(isinstance(episode.outcome, Rewarded) for episode in asyncio.run(run()))


class Answer:
    """Asks an app and keeps the last answer."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def post(self, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        answer = self.client.post(path, json=body, **options)
        return answer.status_code, answer.json()

    def get(self, path: str, **options: Any) -> tuple[int, Any]:
        answer = self.client.get(path, **options)
        return answer.status_code, answer.json()


class Serve:
    """A service in the test client's event loop."""

    def __init__(self, prototype: Environment = DESK, token: str | None = None, **options: Any) -> None:
        self.prototype, self.token, self.options = prototype, token, options

    def __enter__(self) -> Answer:
        self._client = TestClient(self._app, raise_server_exceptions=True)
        self._client.__enter__()
        return Answer(self._client)

    def __exit__(self, *exception: object) -> None:
        self._client.__exit__(*exception)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            episodes = self.options.pop("episodes", None)
            limits = ExportLimits(**self.options)
            await receive()
            async with open_sessions(self.prototype, limits=limits, episodes=episodes) as self.sessions:
                self._inner = openenv_app("returns_desk", self.sessions, token=self.token, choice=Choice())
                await send({"type": "lifespan.startup.complete"})
                await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await self._inner(scope, receive, send)


def test_reset_chooses_the_task() -> None:
    with Serve() as ask:
        for body, expected in [
            ({"task_id": "validation-3"}, ("validation-3", "validation")),
            ({"split": "test", "index": 2}, ("test-2", "test")),
            ({"index": 1}, ("train-1", "train")),
        ]:
            told = ask.post("/reset", body)[1]["metadata"]
            assert (told["task_id"], told["split"]) == expected
        drawn = [ask.post("/reset", {"seed": seed})[1]["metadata"]["task_id"] for seed in (1, 2, 3, 1)]
        assert drawn[0] == drawn[3]
        assert len(set(drawn)) == 3
        assert ask.post("/reset")[1]["metadata"]["task_id"] != ask.post("/reset")[1]["metadata"]["task_id"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"task_id": "none"}, "no task with id 'none'; there are 120 train, 120 validation, 120 test"),
        ({"index": 120}, "index 120 of 'train'"),
        ({"split": "all"}, "no split 'all'"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"seed": True}, "seed must be a whole number"),
        ({"episode_id": ""}, "episode_id must be text"),
    ],
)
def test_wrong_choice_is_named(body: dict[str, Any], words: str) -> None:
    with Serve() as ask:
        status, answer = ask.post("/reset", body)
        assert (status, answer["error"]["code"]) == (422, "VALIDATION_ERROR")
        assert words in answer["error"]["message"]
        assert ask.get("/state")[0] == 422, "no session is left behind"


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ({"mesage": "hi"}, "mesage: Extra inputs"),
        ({"tool_calls": [{"arguments": {}}]}, "tool_calls.0.name: Field required"),
        ({"finish_reason": "why"}, "finish_reason"),
        ("hi", "the action is not valid"),
    ],
)
def test_wrong_action_is_named_and_costs_no_turn(action: Any, words: str) -> None:
    with Serve() as ask:
        ask.post("/reset", {"index": 0})
        status, answer = ask.post("/step", {"action": action})
        assert (status, answer["error"]["code"]) == (422, "VALIDATION_ERROR")
        assert words in answer["error"]["message"]
        assert ask.get("/state")[1]["step_count"] == 0


def test_every_form_of_an_action_is_read() -> None:
    with Serve() as ask:
        order = TASKS[0].prompt.removeprefix("order: ")
        arguments = {"order": order}
        nested = {
            "id": "c7",
            "type": "function",
            "function": {"name": "get_order", "arguments": f'{{"order": "{order}"}}'},
        }
        contents: set[str] = set()
        for action in (
            {"tool_calls": [{"name": "get_order", "arguments": arguments}]},
            {"role": "assistant", "content": "Let me see.", "tool_calls": [nested]},
            {"type": "call_tool", "tool_name": "get_order", "arguments": arguments},
        ):
            ask.post("/reset", {"index": 0, "episode_id": "e"})
            answer = ask.post("/step", {"action": action})[1]
            contents.add(answer["observation"]["messages"][0]["content"])
        assert len(contents) == 1
        assert answer["observation"]["tool_name"] == "get_order"
        malformed = ask.post("/step", {"action": {"tool_calls": [{"name": "get_order", "arguments": "{"}]}})[1]
        assert malformed["metadata"]["calls"] == [{"name": "get_order", "error": True, "malformed": True}]
        assert (
            ask.post("/step", {"action": {"type": "list_tools"}})[1]["observation"]["tools"][0]["name"] == "get_order"
        )


def test_limits_truncate(tmp_path: Path) -> None:
    with Serve(max_turns=2, episodes=tmp_path / "e.jsonl") as ask:
        call = {"action": {"tool_calls": [{"name": "get_order", "arguments": {"order": "O1"}}]}}
        ask.post("/reset", {"index": 0})
        assert not ask.post("/step", call)[1]["done"]
        last = ask.post("/step", call)[1]
        assert (last["done"], last["metadata"]["cause"]) == (True, "max_turns")
        assert [one["role"] for one in last["observation"]["messages"]] == ["tool"]
        status, answer = ask.post("/step", call)
        assert (status, answer["error"]["message"]) == (422, "the episode is over: reset to begin another")
        ask.post("/reset", {"index": 0})
        cut = ask.post("/step", {"action": {"message": "I th", "finish_reason": "length"}})[1]
        assert cut["metadata"]["cause"] == "token_cap"
    assert [type(episode.outcome) for episode in written(tmp_path / "e.jsonl")] == [Truncated, Truncated]


class Fragile(Environment):
    """Breaks where it is told to."""

    closed = 0

    def __init__(self, broken: str = "") -> None:
        self.broken = broken

    def tasks(self, split: Any) -> Any:
        return TASKS if split == "train" else []

    def open(self, task: Any, seed: int) -> None:
        super().open(task, seed)
        if self.broken == "open":
            raise OSError("no such disk")

    def close(self) -> None:
        Fragile.closed += 1

    @tool
    def use(self) -> str:
        """Break."""
        raise OSError("no such disk")

    @tool
    async def wait(self) -> str:
        """Take a minute."""
        await asyncio.sleep(60)
        return "late"

    def reward(self, episode: Episode) -> float:
        return 0.0


def test_socket_that_goes_in_the_middle_of_a_call_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    Fragile.closed = 0
    with Serve(Fragile(), episodes=path) as ask, ask.client.websocket_connect("/ws") as socket:
        socket.send_json({"type": "reset", "data": {"index": 0}})
        socket.receive_json()
        socket.send_json({"type": "step", "data": {"tool_calls": [{"name": "wait"}]}})
    (episode,) = written(path)
    assert episode.outcome == Failed(cause="abandoned", detail="the socket was closed")
    assert Fragile.closed == 1


def test_what_breaks_is_an_error_and_never_a_reward(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    with Serve(Fragile(), episodes=path) as ask:
        ask.post("/reset", {"index": 0})
        status, answer = ask.post("/step", {"action": {"tool_calls": [{"name": "use"}]}})
        assert (status, answer["error"]["code"]) == (500, "EXECUTION_ERROR")
        assert "tool_error: tool 'use' raised OSError: no such disk" in answer["error"]["message"]
    with Serve(Fragile("open"), episodes=path) as ask:
        status, answer = ask.post("/reset", {"index": 0})
        assert (status, answer["error"]["code"]) == (500, "FACTORY_ERROR")
    assert [type(episode.outcome) for episode in written(path)] == [Failed, Failed]


def test_capacity_is_kept_and_given_back(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    Fragile.closed = 0
    with Serve(Fragile(), capacity=2, episodes=path) as ask:
        for name in "ab":
            assert ask.post("/reset", {"index": 0, "episode_id": name})[0] == 200
        status, answer = ask.post("/reset", {"index": 0, "episode_id": "c"})
        assert (status, answer["error"]["code"]) == (503, "CAPACITY_REACHED")
        assert "2 of 2 sessions are open" in answer["error"]["message"]
        status, answer = ask.post("/step", {"action": {"message": "x"}})
        assert "say which episode_id: 2 episodes are open" in answer["error"]["message"]
        assert ask.post("/close", {"episode_id": "a"}) == (200, {"episode_id": "a", "closed": True})
        assert ask.post("/step", {"action": {"message": "x"}, "episode_id": "a"})[0] == 404
        assert ask.post("/reset", {"index": 0, "episode_id": "c"})[0] == 200
        ask.post("/step", {"action": {"message": "x"}, "episode_id": "c"})
        assert ask.post("/reset", {"index": 0, "episode_id": "d"})[0] == 200, "c is over and makes room"
        assert ask.post("/reset", {"index": 1, "episode_id": "d"})[0] == 200, "an episode in its own place"
    causes = {one.metadata["episode_id"]: getattr(one.outcome, "detail", "") for one in written(path)[-2:]}
    assert causes == {"b": "the service stopped", "d": "the service stopped"}
    assert Fragile.closed == len(written(path)) == 5


def test_idle_session_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"

    async def run() -> None:
        async with (
            serving("openenv", path, idle_seconds=0.05) as (url, sessions),
            httpx2.AsyncClient(base_url=url) as client,
        ):
            await client.post("/reset", json={"index": 0})
            while sessions.by_id:
                await asyncio.sleep(0.01)
            assert (await client.post("/step", json={"action": {"message": "x"}})).status_code == 422

    asyncio.run(run())
    (episode,) = written(path)
    assert episode.outcome == Failed(cause="abandoned", detail="nobody asked for 0.05 s")


def test_service_describes_itself_without_the_truth() -> None:
    with Serve() as ask:
        assert ask.get("/health") == (200, {"status": "healthy"})
        assert ask.get("/list_environments") == (200, ["returns_desk"])
        metadata = ask.get("/metadata")[1]
        assert metadata["name"] == "returns_desk"
        assert metadata["description"].endswith("Tasks: 120 train, 120 validation, 120 test.")
        assert set(ask.get("/schema")[1]) == {"action", "observation", "reset_observation", "state"}
        assert ask.get("/returns_desk/splits")[1][0] == {"name": "train", "type": "train"}
        assert ask.post("/returns_desk/num_tasks", {"split": "test"}) == (200, {"num_tasks": 120})
        shown = {"task_id": "test-3", "split": "test", "prompt": list(DESK.tasks("test"))[3].prompt}
        assert ask.post("/returns_desk/task", {"split": "test", "index": 3}) == (200, {"task": shown})
        assert ask.post("/returns_desk/task_range", {"split": "test", "start": 3, "stop": 4}) == (
            200,
            {"tasks": [shown]},
        )
        assert len(ask.post("/returns_desk/tasks", {"split": "train"})[1]["tasks"]) == 120
        assert ask.post("/other/tasks", {"split": "train"})[0] == 404
        assert ask.post("/returns_desk/task", {"split": "test", "index": 120})[0] == 422
        assert ask.client.post("/reset", content="{").json()["error"]["code"] == "INVALID_JSON"
        assert ask.get("/ws")[0] == 501


def test_socket_is_a_session_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    with Serve(capacity=1, episodes=path) as ask:
        with ask.client.websocket_connect("/ws") as socket:

            def say(frame: Any) -> Any:
                socket.send_json(frame)
                return socket.receive_json()

            assert say({"type": "step", "data": {"message": "x"}})["data"]["code"] == "SESSION_ERROR"
            first = say({"type": "reset", "data": {"index": 3, "seed": 9}})
            assert (first["type"], first["data"]["metadata"]["task_id"]) == ("observation", "train-3")
            assert say({"type": "shout"})["data"]["code"] == "UNKNOWN_TYPE"
            socket.send_text("{")
            assert socket.receive_json()["data"]["code"] == "INVALID_JSON"
            assert say({"type": "step", "data": {"mesage": "x"}})["data"]["code"] == "VALIDATION_ERROR"
            state = say({"type": "state"})["data"]
            assert (state["task_id"], state["seed"], state["step_count"], state["done"]) == ("train-3", 9, 0, False)
            listed = say({"type": "mcp", "data": {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}})
            assert [one["name"] for one in listed["data"]["result"]["tools"]][-1] == "reply"
            with ask.client.websocket_connect("/ws") as other:
                refused = other.receive_json()
                assert (refused["type"], refused["data"]["code"]) == ("error", "CAPACITY_REACHED")
            last = say({"type": "step", "data": {"message": "no idea"}})["data"]
            assert (last["done"], last["reward"]) == (True, -0.1)
            say({"type": "reset", "data": {"index": 4}})
        with ask.client.websocket_connect("/ws") as socket:
            socket.send_json({"type": "reset", "data": {"index": 5}})
            assert socket.receive_json()["type"] == "observation"
            socket.send_json({"type": "close"})
    outcomes = [(one.task.id, getattr(one.outcome, "detail", "")) for one in written(path)]
    assert outcomes == [("train-3", ""), ("train-4", "the socket was closed"), ("train-5", "the socket was closed")]


def test_token_is_asked_for_and_the_agent_needs_none() -> None:
    trainer = {"headers": {"Authorization": "Bearer t0ken"}}
    with Serve(token="t0ken") as ask:
        for path in ("/reset", "/step", "/close", "/returns_desk/tasks"):
            assert ask.post(path, {})[0] == 401
        assert ask.get("/state")[0] == 401
        with pytest.raises(WebSocketDisconnect), ask.client.websocket_connect("/ws"):
            pass
        assert ask.get("/health")[0] == 200
        session_id = ask.post("/reset", {"index": 0}, **trainer)[1]["metadata"]["session_id"]

        def rpc(method: str, **params: Any) -> Any:
            return ask.post("/mcp", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params})[1]

        assert "result" in rpc("tools/list", session_id=session_id)
        assert "UNAUTHORIZED" in rpc("openenv/session/create")["error"]["message"]
        assert "SESSION_ERROR" in rpc("tools/list", session_id="guess")["error"]["message"]
        assert rpc("reset", session_id=session_id)["error"]["code"] == -32601
        assert ask.post("/reset", {"index": 0}, headers={"Origin": "http://evil.example.com"})[0] == 401


def test_agent_and_trainer_share_a_session(tmp_path: Path) -> None:
    with Serve(episodes=tmp_path / "e.jsonl") as ask:
        session_id = ask.post("/reset", {"index": 0})[1]["metadata"]["session_id"]

        def rpc(method: str, **params: Any) -> Any:
            return ask.post("/mcp", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params})[1]["result"]

        rpc("tools/call", name="get_order", arguments={"order": "O1"}, session_id=session_id)
        assert ask.get("/state")[1]["step_count"] == 1
        over = rpc("tools/call", name="reply", arguments={"text": "no idea"}, session_id=session_id)
        assert "reward" not in str(over)
        state = ask.get("/state")[1]
        assert (state["done"], state["reward"], state["outcome"]["kind"]) == (True, -0.1, "rewarded")
    (episode,) = written(tmp_path / "e.jsonl")
    assert episode.outcome == Rewarded(value=-0.1, components={"fields": 0.0, "emitted": 0.0})
