"""The MCP server, driven by the real client over pipes and over HTTP."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from launch.export.driving import DESK, TASKS, comparable, drive, in_process, serving, written
from turnwright.core.errors import ToolError
from turnwright.core.message import Message
from turnwright.core.outcome import Failed, Rewarded
from turnwright.environments import Done, Environment, tool
from turnwright.environments.imported.mcp_connection import McpConnection, McpPlace
from turnwright.launch.export.mcp import OVER

pytestmark = pytest.mark.slow

mcp = pytest.importorskip("mcp", reason="the extra turnwright[mcp] is not installed")
OPTIONS = ["--option", "train_tasks=120", "--option", "validation_tasks=120", "--option", "test_tasks=120"]


@asynccontextmanager
async def over_http(url: str, mode: str = "auto", **choice: Any) -> AsyncIterator[Any]:
    """Connect a real client whose headers choose the task."""
    from mcp.client.streamable_http import streamable_http_client

    headers = {f"X-Turnwright-{name.replace('_', '-')}": str(value) for name, value in choice.items()}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        mcp.Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


@asynccontextmanager
async def over_pipes(path: Path, number: int) -> AsyncIterator[Any]:
    """Start the command as a client does."""
    task = ["--task", TASKS[number].id, "--seed", str(100 + number), "--episodes", str(path)]
    command = ["-m", "turnwright.cli", "export", "returns_desk", "--mcp", *OPTIONS, *task]
    async with mcp.Client(mcp.StdioServerParameters(command=sys.executable, args=command)) as client:
        yield client


async def played(client: Any, number: int, script: str = "oracle") -> None:
    """Play a task and compare what the client reads with what an agent in this process reads."""
    expected = await in_process(TASKS[number], 100 + number, script)
    system, user = expected.opening
    assert client.instructions == system.content
    (prompt,) = (await client.get_prompt("task")).messages
    assert (prompt.role, prompt.content.text) == ("user", user.content)
    listed = (await client.list_tools()).tools
    assert [one.name for one in listed] == [*(spec.name for spec in expected.tools), "reply"]
    assert [one.input_schema for one in listed[:-1]] == [dict(spec.parameters) for spec in expected.tools]
    seen: list[Message] = []

    async def say(message: Message) -> Sequence[Message] | None:
        seen.append(message)
        if not message.tool_calls:
            result = await client.call_tool("reply", {"text": message.content})
            assert result.content[0].text == OVER
            return None
        (call,) = message.tool_calls
        result = await client.call_tool(call.name, json.loads(call.arguments))
        seen.append(Message(role="tool", content=result.content[0].text, tool_call_id=call.id, name=call.name))
        assert result.is_error == expected.turns[len(seen) // 2 - 1].tools[0].error
        return [seen[-1]]

    await drive(TASKS[number], 100 + number, say, script)
    assert expected.opening + tuple(seen) == expected.messages


def check_written(path: Path, scripts: dict[int, str]) -> None:
    """Compare the graded episodes with those of this process."""

    async def run() -> list[Any]:
        return [await in_process(TASKS[number], 100 + number, script) for number, script in scripts.items()]

    expected = {one.task.id: comparable(one) for one in asyncio.run(run())}
    assert {one.task.id: comparable(one) for one in written(path)} == expected
    assert len(written(path)) == len(scripts)


@pytest.mark.parametrize("mode", ["auto", pytest.param("legacy", marks=pytest.mark.slow)])
def test_eight_sessions_over_http_equal_those_of_this_process(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "e.jsonl"
    scripts = {number: ["oracle", DESK.demonstrators()[0]][number % 2] for number in range(8)}

    async def run() -> None:
        async with serving("mcp", path) as (url, sessions):

            async def one(number: int, script: str) -> None:
                async with over_http(url, mode, task_id=TASKS[number].id, seed=100 + number) as client:
                    await played(client, number, script)

            await asyncio.gather(*(one(number, script) for number, script in scripts.items()))
            assert not sessions.by_id

    asyncio.run(run())
    check_written(path, scripts)


def test_processes_over_pipes_equal_this_one(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"

    async def one(number: int) -> None:
        async with over_pipes(path, number) as client:
            await played(client, number)

    async def run() -> None:
        await asyncio.gather(*(one(number) for number in range(3)))

    asyncio.run(run())
    check_written(path, dict.fromkeys(range(3), "oracle"))


def test_what_a_tool_prints_is_no_message(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(LOUD)
    command = (sys.executable, "-m", "turnwright.cli", "export", "loud.py:Loud", "--mcp", "--episodes", "e.jsonl")
    connection = McpConnection(McpPlace(command=command, folder=tmp_path), start_seconds=60)
    try:
        assert asyncio.run(connection.call("shout", {})) == "done"
        with pytest.raises(ToolError, match="unknown tool whisper"):
            asyncio.run(connection.call("whisper", {}))
    finally:
        connection.close()
    (episode,) = written(tmp_path / "e.jsonl")
    assert episode.outcome == Rewarded(value=2.0)


LOUD = '''
import os
from turnwright import Environment, Task, tool


class Loud(Environment):
    """Prints."""

    def tasks(self, split):
        return [Task(id="1", prompt="shout", split=split)]

    @tool
    def shout(self) -> str:
        """Shout."""
        print("HERE")
        os.write(1, b"HERE")
        return "done"

    def reward(self, episode):
        return float(len(episode.turns) - 1)
'''


class Raw:
    """Requests as they are on the wire."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client
        self.session: dict[str, str] = {}

    async def begin(self, **choice: str) -> dict[str, Any]:
        answer = await self.client.post("/mcp", params=choice, json=rpc("initialize", protocolVersion="2025-06-18"))
        self.session = {"Mcp-Session-Id": answer.headers["Mcp-Session-Id"]}
        return answer.json()["result"]

    async def ask(self, method: str, number: int | None = 1, **params: Any) -> httpx2.Response:
        return await self.client.post("/mcp", json=rpc(method, number, **params), headers=self.session)

    async def call(self, name: str, **arguments: Any) -> tuple[str, bool]:
        result = (await self.ask("tools/call", name=name, arguments=arguments)).json()["result"]
        assert set(result) == {"content", "isError"}
        return result["content"][0]["text"], result["isError"]


def rpc(method: str, number: int | None = 1, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": params, **({} if number is None else {"id": number})}


@asynccontextmanager
async def raw(path: Path | None = None, **limits: Any) -> AsyncIterator[Raw]:
    async with serving("mcp", path, **limits) as (url, _), httpx2.AsyncClient(base_url=url) as client:
        yield Raw(client)


def test_agent_can_neither_reset_nor_read_the_reward(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"

    async def run() -> None:
        async with raw(path) as server:
            begun = await server.begin(task_id="train-0", seed="7", episode_id="mine")
            assert (begun["protocolVersion"], set(begun["capabilities"])) == ("2025-06-18", {"tools", "prompts"})
            for method in ("reset", "step", "state", "openenv/session/create", "resources/list"):
                assert (await server.ask(method)).json()["error"]["code"] == -32601
            for name in ("reset", "reward", "state"):
                text, error = await server.call(name)
                assert error
                assert f"unknown tool {name}" in text
            again = await server.client.post("/mcp", json=rpc("initialize"), headers=server.session)
            assert again.json()["result"]["serverInfo"]["name"] == "turnwright"
            assert await server.call("reply", text="no idea") == (OVER, False)
            assert await server.call("get_order", order="O1") == (OVER, True)
            for place in ("/reset", "/step", "/state", "/ws", "/returns_desk/tasks"):
                assert (await server.client.post(place)).status_code == 404

    asyncio.run(run())
    (episode,) = written(path)
    assert episode.outcome == Rewarded(value=-0.1, components={"fields": 0.0, "emitted": 0.0})
    assert (episode.metadata["seed"], episode.metadata["episode_id"], len(episode.turns)) == ("7", "mine", 4)


def test_session_that_is_left_is_graded_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"

    async def run() -> None:
        async with raw(path) as server:
            await server.begin(task_id="train-0")
            await server.call("get_order", order="O1")
            assert (await server.client.delete("/mcp", headers=server.session)).status_code == 204
            assert (await server.ask("ping")).status_code == 404

    asyncio.run(run())
    (episode,) = written(path)
    assert isinstance(episode.outcome, Rewarded)
    assert episode.answer == ""


def test_requests_that_are_none_are_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with raw(capacity=1) as server:
            assert (await server.ask("tools/list")).json()["error"]["message"].endswith("begin with 'initialize'")
            assert (await server.ask("server/discover")).json()["error"]["code"] == -32601
            wrong = await server.client.post("/mcp", params={"task_id": "none"}, json=rpc("initialize"))
            assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "VALIDATION_ERROR")
            await server.begin()
            assert (await server.ask("ping")).json() == {"jsonrpc": "2.0", "id": 1, "result": {}}
            assert (await server.ask("notifications/initialized", None)).status_code == 202
            assert (await server.ask("prompts/get", name="other")).json()["error"]["code"] == -32602
            assert (await server.ask("tools/call", name=3)).json()["error"]["code"] == -32602
            assert await server.call("reply", words="x") == ("Argument text must be string", True)
            assert (await server.client.get("/mcp")).status_code == 405
            full = await server.client.post("/mcp", json=rpc("initialize"))
            assert (full.status_code, full.json()["error"]["code"]) == (503, "CAPACITY_REACHED")
            page = {**server.session, "Origin": "https://evil.example.com"}
            assert (await server.client.post("/mcp", json=rpc("ping"), headers=page)).status_code == 401

    asyncio.run(run())


class Broken(Environment):
    """Has a tool that breaks."""

    def tasks(self, split: Any) -> Any:
        return TASKS[:1]

    @tool
    def use(self) -> str:
        """Break."""
        raise OSError("/secret/path is full")

    def reward(self, episode: Any) -> float:
        return 1.0


def test_agent_learns_that_the_world_broke_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"

    async def run() -> None:
        async with raw(path, prototype=Broken()) as server:
            await server.begin()
            error = (await server.ask("tools/call", name="use")).json()["error"]
            assert (error["code"], error["message"]) == (
                -32603,
                "the environment broke: the task cannot be gone on with",
            )
            assert await server.call("use") == (OVER, True)

    asyncio.run(run())
    (episode,) = written(path)
    assert isinstance(episode.outcome, Failed)
    assert "/secret/path is full" in episode.outcome.detail


class Talking(Broken):
    """Has a tool of the name that agents answer with, and a user who asks back once."""

    @tool
    def reply(self) -> str:
        """Answer a letter."""
        return "posted"

    def respond(self, reply: Message) -> list[Message] | Done:
        return [Message(role="user", content="Are you sure?")] if reply.content != "yes" else Done()


def test_user_answers_what_the_agent_says(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"

    async def run() -> None:
        async with raw(path, prototype=Talking()) as server:
            await server.begin()
            listed = (await server.ask("tools/list")).json()["result"]["tools"]
            assert [one["name"] for one in listed] == ["use", "reply", "reply_to_user"]
            assert await server.call("reply") == ("posted", False)
            assert await server.call("reply_to_user", text="It is done.") == ("Are you sure?", False)
            assert await server.call("reply_to_user", text="yes") == (OVER, False)

    asyncio.run(run())
    (episode,) = written(path)
    assert episode.outcome == Rewarded(value=1.0)
    assert [turn.reply.content for turn in episode.turns] == ["", "It is done.", "yes"]


def test_trainer_resets_and_the_agent_plays() -> None:
    async def run() -> None:
        trainer = {"Authorization": "Bearer t0ken"}
        async with (
            serving("openenv", token="t0ken") as (url, _),
            httpx2.AsyncClient(base_url=url, headers=trainer) as client,
        ):
            begun = await client.post("/reset", json={"task_id": TASKS[1].id, "seed": 101})
            agent = url + begun.json()["metadata"]["mcp"]
            async with mcp.Client(agent) as playing:
                await played(playing, 1)
            async with mcp.Client(agent) as again:
                assert (await again.call_tool("get_order", {"order": "O1"})).content[0].text == OVER
            state = (await client.get("/state")).json()
            assert (state["done"], state["reward"]) == (True, 1.0)

    asyncio.run(run())


def test_import_reads_what_export_serves(tmp_path: Path) -> None:
    """Our own client of MCP servers, against our own server."""

    async def run() -> str:
        async with serving("mcp", tmp_path / "e.jsonl") as (url, _):
            place = McpPlace(url=f"{url}/mcp?task_id=train-0&seed=1")
            connection = await asyncio.to_thread(McpConnection, place, start_seconds=30)
            try:
                return await connection.call("reply", {"text": "no idea"})
            finally:
                await asyncio.to_thread(connection.close)

    assert asyncio.run(run()) == OVER
    assert len(written(tmp_path / "e.jsonl")) == 1
