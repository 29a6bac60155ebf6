"""Recordings: written once, read back whole, and refused with the line that is wrong."""

import asyncio
import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from turnwright.core.errors import DatasetError, EnvironmentLoadError, ToolError
from turnwright.environments.recorded.capture import Recorder
from turnwright.environments.recorded.sources import Functions, function_spec
from turnwright.environments.recorded.store import read_recordings


def get_city(order: int, form: Literal["short", "long"] = "short") -> str:
    """Return the city an order ships to."""
    if order > 5:
        raise ToolError(f"no order {order}")
    return "Oslo" if form == "short" else "Oslo, Norway"


async def get_weight(order: float) -> dict[str, Any]:
    """Return the weight of an order."""
    await asyncio.sleep(0)
    return {"kg": order / 4}


LIVE = Functions(get_city, get_weight)


def record(path: Path, *calls: tuple[str, dict[str, Any]], source: Functions = LIVE) -> None:
    async def all_calls() -> None:
        with Recorder(path, source) as recorder:
            await asyncio.gather(*(recorder.record(tool, arguments) for tool, arguments in calls))

    asyncio.run(all_calls())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "recordings.jsonl"
    record(path, ("get_city", {"order": 3}), ("get_city", {"order": 9}), ("get_weight", {"order": 2.0}))
    return path


def test_recordings_come_back_as_they_were_answered(file: Path) -> None:
    recordings = read_recordings(file)
    assert recordings.specs == {spec.name: spec for spec in LIVE.specs}
    found = recordings.find("get_city", '{"form":"short","order":3}')
    assert found is not None
    assert (found.answer, found.error) == ("Oslo", False)
    refused = recordings.find("get_city", '{"form":"short","order":9}')
    assert refused is not None
    assert (refused.answer, refused.error) == ("no order 9", True)
    weight = recordings.find("get_weight", '{"order":2}')
    assert weight is not None
    assert weight.answer == '{"kg": 0.5}'
    assert weight.latency_ms > 0
    assert recordings.find("get_city", '{"form":"long","order":3}') is None


def test_file_is_only_appended_to_and_known_calls_add_nothing(file: Path) -> None:
    before = file.read_bytes()
    record(file, ("get_city", {"order": 3, "form": "short"}), ("get_weight", {"order": 2}))
    assert file.read_bytes() == before
    record(file, ("get_city", {"order": 4}))
    assert file.read_bytes().startswith(before)
    assert file.read_bytes().count(b"\n") == before.count(b"\n") + 1


def test_defaults_are_sent_to_the_live_tool(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []

    class Told(Functions):
        async def answer(self, tool: str, arguments: Any) -> str:
            seen.append(dict(arguments))
            return await super().answer(tool, arguments)

    record(tmp_path / "r.jsonl", ("get_city", {"order": 3}), source=Told(get_city))
    assert seen == [{"order": 3, "form": "short"}]


def test_torn_last_line_is_cut_off_when_recording_goes_on(file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"tool": "get_ci')
    assert len(read_recordings(file).by_key["get_city"]) == 2
    record(file, ("get_city", {"order": 4}))
    assert file.read_bytes().startswith(whole)
    assert len(read_recordings(file).by_key["get_city"]) == 3


def test_tool_that_answers_differently_is_refused_by_call(tmp_path: Path) -> None:
    ticks = itertools.count()

    def clock(zone: str) -> int:
        """Return the time."""
        return next(ticks)

    path = tmp_path / "r.jsonl"
    with pytest.raises(DatasetError, match=r'clock\(\{"zone":"utc"\}\) cannot be replayed.*\'0\' before and \'1\' now'):
        record(path, ("clock", {"zone": "utc"}), ("clock", {"zone": "utc"}), source=Functions(clock))
    # The next recorder knows what is in the file.
    with pytest.raises(DatasetError, match="cannot be replayed"):
        record(path, ("clock", {"zone": "utc"}), source=Functions(clock))
    assert len(read_recordings(path).by_key["clock"]) == 1


def test_what_breaks_is_not_recorded(tmp_path: Path) -> None:
    def broken(order: int) -> str:
        """Break."""
        raise OSError("no route to host")

    path = tmp_path / "r.jsonl"
    with pytest.raises(OSError, match="no route"):
        record(path, ("broken", {"order": 3}), source=Functions(broken))
    assert read_recordings(path).by_key == {"broken": {}}


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (("get_town", {}), "the source has get_city, get_weight"),
        (("get_city", {}), "Missing required argument: order"),
        (("get_city", {"order": "3"}), "Argument order must be integer"),
        (("get_city", {"order": 3, "colour": "red"}), "Unknown argument: colour"),
    ],
)
def test_calls_off_the_schema_are_not_recorded(file: Path, call: tuple[str, dict[str, Any]], named: str) -> None:
    with pytest.raises(DatasetError, match=named):
        record(file, call)


def get_city_today(order: str, form: Literal["short", "long"] = "short") -> str:
    """Return the city an order ships to."""
    return "Oslo"


get_city_today.__name__ = "get_city"


def test_changed_schema_is_named(file: Path) -> None:
    recordings = read_recordings(file)
    recordings.compare(LIVE.specs)
    with pytest.raises(EnvironmentLoadError) as caught:
        recordings.compare([function_spec(get_city_today)])
    text = str(caught.value)
    assert 'get_city.parameters.properties.order.type was "integer", is "string"' in text
    assert "get_weight was" in text
    assert text.count("; ") == 2  # two differences, one cure
    with pytest.raises(EnvironmentLoadError, match=r"order\.type was"):
        record(file, source=Functions(get_city_today, get_weight))


def test_two_tools_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentLoadError, match="'get_city' more than once"):
        Recorder(tmp_path / "r.jsonl", Functions(get_city, get_city_today))
    assert not (tmp_path / "r.jsonl").exists()


def test_default_of_null_is_a_difference(file: Path) -> None:
    city, weight = LIVE.specs
    rule = {**weight.parameters, "properties": {"order": {"type": "number", "default": None}}}
    with pytest.raises(
        EnvironmentLoadError, match=r"get_weight\.parameters\.properties\.order\.default was absent, is null"
    ):
        read_recordings(file).compare([city, replace(weight, parameters=rule)])


def edited(file: Path, number: int, **changes: Any) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    lines[number - 1] = json.dumps({**json.loads(lines[number - 1]), **changes})
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("number", "changes", "named"),
    [
        (1, {"recordings": 2}, "line 1 is no header"),
        (1, {"tools": None}, "line 1 is no header"),
        (1, {"tools": ["get_city"]}, "line 1: expected a tool's name and parameters"),
        (2, {"tool": "get_town"}, "line 2 is of tool 'get_town': the header has get_city, get_weight"),
        (2, {"tool": ["get_city"]}, "line 2 is of tool"),
        (2, {"schema": "0" * 16}, "line 2 was recorded under schema '0000000000000000'"),
        (2, {"answer": 3}, "line 2 is no recording"),
        (2, {"error": "no"}, "line 2 is no recording"),
        (2, {"arguments": "3"}, "line 2 is no recording"),
        (2, {"latency_ms": "3"}, "line 2 is no recording"),
        (3, {"arguments": {"order": 3}}, r"line 3: get_city.* answers 'no order 9', an earlier line 'Oslo'"),
    ],
)
def test_broken_line_is_named(file: Path, number: int, changes: dict[str, Any], named: str) -> None:
    edited(file, number, **changes)
    with pytest.raises(DatasetError, match=named) as caught:
        read_recordings(file)
    assert str(file) in str(caught.value)


def test_edited_header_is_refused(file: Path) -> None:
    file.write_text(file.read_text(encoding="utf-8").replace("city an order", "town an order"), encoding="utf-8")
    with pytest.raises(DatasetError, match="the header was edited"):
        read_recordings(file)


@pytest.mark.parametrize(
    ("content", "named"),
    [(b"", "line 1 is not JSON"), (b"[]\n", "line 1 is list"), (b"\xff\xfe\n", "line 1 is not JSON")],
)
def test_what_is_no_recordings_file_is_refused(tmp_path: Path, content: bytes, named: str) -> None:
    path = tmp_path / "r.jsonl"
    with pytest.raises(DatasetError, match="there is no file"):
        read_recordings(path)
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=named):
        read_recordings(path)
