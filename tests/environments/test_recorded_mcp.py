"""The tools of a real MCP server, started as a process, recorded and replayed."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from turnwright.core.errors import ConfigError, DatasetError, ToolError
from turnwright.core.message import ToolCall
from turnwright.environments import ToolAnswer
from turnwright.environments.prompts import Prompts
from turnwright.environments.recorded.capture import Recorder
from turnwright.environments.recorded.environment import RecordedEnvironment
from turnwright.environments.recorded.mcp import open_mcp_server

SERVER = [sys.executable, str(Path(__file__).with_name("recorded_mcp_server.py"))]


def test_missing_client_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect() -> None:
        async with open_mcp_server(SERVER):
            pass

    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(ConfigError, match=r"pip install 'turnwright\[mcp\]'"):
        asyncio.run(connect())


class Desk(RecordedEnvironment):
    tasks = Prompts.tasks
    reward = Prompts.reward


@pytest.mark.slow
def test_server_is_recorded_and_replayed(tmp_path: Path) -> None:
    pytest.importorskip("mcp", reason="the extra turnwright[mcp] is not installed")
    path = tmp_path / "r.jsonl"

    async def record() -> list[str]:
        async with open_mcp_server(SERVER, ["get_note", "get_city"]) as source:
            live = [await source.answer("get_city", {"order": 3}), await source.answer("get_note", {"order": 3})]
            with pytest.raises(ToolError, match="no order 9"):
                await source.answer("get_city", {"order": 9})
            with pytest.raises(DatasetError, match="answers with image"):
                await source.answer("get_photo", {"order": 3})
            with Recorder(path, source) as recorder:
                for order in (3, 9):
                    await recorder.record("get_city", {"order": order})
                    await recorder.record("get_note", {"order": order})
            return live

    live = asyncio.run(record())
    environment = Desk(str(path))
    assert list(environment.tools()) == ["get_note", "get_city"]
    assert environment.tools()["get_city"].spec.description == "Return the city an order ships to."

    def ask(name: str, arguments: str) -> ToolAnswer:
        return asyncio.run(environment.call_tool(ToolCall(id="c", name=name, arguments=arguments)))

    assert ask("get_city", '{"form": "short", "order": 3.0}').outcome.malformed
    assert ask("get_city", '{"form": "short", "order": 3}').message.content == live[0] == "Oslo"
    assert ask("get_note", '{"page": null, "order": 3}').message.content == live[1]
    assert json.loads(live[1]) == {"note": "K\u00f6ln 3 None"}
    refused = ask("get_city", '{"order": 9}')
    assert refused.outcome.error
    assert "no order 9" in refused.message.content


@pytest.mark.slow
def test_unknown_tool_of_a_server_is_named() -> None:
    pytest.importorskip("mcp", reason="the extra turnwright[mcp] is not installed")

    async def connect() -> None:
        async with open_mcp_server(SERVER, ["get_town"]):
            pass

    with pytest.raises(ConfigError, match="no tool 'get_town'; it has: get_city, get_note, get_photo"):
        asyncio.run(connect())
