"""A replayed environment answers as the live one did, and never makes an answer up."""

import asyncio
import json
import random
import re
import runpy
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from turnwright.audit.play import play as play_through
from turnwright.core.episode import Episode
from turnwright.core.errors import DatasetError, EnvironmentLoadError, ToolError
from turnwright.core.message import ToolCall
from turnwright.core.outcome import Failed
from turnwright.core.task import Split, Task
from turnwright.environments import Environment, Script, ToolAnswer, ToolCrash, call, load_environment, say, tool
from turnwright.environments.recorded.capture import Recorder
from turnwright.environments.recorded.environment import RecordedEnvironment
from turnwright.environments.recorded.sources import Functions, function_spec
from turnwright.launch.check import check_environment

EXAMPLE = Path(__file__).parents[2] / "examples" / "recorded_lookup"
TASK = Task(id="t1", prompt="where?")


class Live(Environment):
    """The tools alive."""

    def tasks(self, split: Split) -> list[Task]:
        return [TASK]

    def reward(self, episode: Episode) -> float:
        return 1.0

    @tool
    def quote(self, weight: float, to: Literal["eu", "us"] = "eu", note: str | None = None) -> dict[str, Any]:
        """Return a price."""
        if weight < 0:
            raise ToolError(f"no weight {weight:g}")
        return {"price": weight * (2 if to == "us" else 1), "note": note}

    @tool
    def name_of(self, order: int) -> str:
        """Return the name of an order, with letters of every kind."""
        return f'K\u00f6ln \u2028 \U0001f600 "{order}"\n'


class Replayed(RecordedEnvironment):
    """The same tools from a file."""

    def tasks(self, split: Split) -> list[Task]:
        return [TASK]

    def reward(self, episode: Episode) -> float:
        return 1.0

    def oracle(self, task: Task) -> Script:
        yield call("quote", weight=2)
        yield call("quote", weight=7.5)
        yield say("done")


def record(path: Path, calls: list[tuple[str, dict[str, Any]]]) -> Path:
    live = Live()

    async def all_calls() -> None:
        with Recorder(path, Functions(live.quote, live.name_of)) as recorder:
            for name, arguments in calls:
                await recorder.record(name, arguments)

    asyncio.run(all_calls())
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return record(tmp_path / "r.jsonl", [("quote", {"weight": 2}), ("quote", {"weight": 3, "to": "us"})])


def opened(prototype: Environment) -> Environment:
    environment = prototype.for_episode()
    environment.open(TASK, 0)
    return environment


def ask(environment: Environment, name: str, arguments: str, **options: Any) -> ToolAnswer:
    return asyncio.run(environment.call_tool(ToolCall(id="c", name=name, arguments=arguments), **options))


def _calls(count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    draw = random.Random(7)
    for number in range(count):
        if number % 4 == 0:
            yield "name_of", {"order": number}
            continue
        arguments: dict[str, Any] = {"weight": draw.choice([draw.randint(-9, 999), draw.uniform(-9, 999), 1e22, 1e-9])}
        if draw.random() < 0.5:
            arguments["to"] = draw.choice(["eu", "us"])
        if draw.random() < 0.5:
            arguments["note"] = draw.choice([None, "", "1", "1.0", "\u00e9", "e\u0301", '"', "\\", "\u2028", "a\nb"])
        yield "quote", arguments


@pytest.mark.slow
def test_replay_equals_live_on_a_thousand_calls(tmp_path: Path) -> None:
    calls = list(_calls(1000))
    replayed = opened(Replayed(str(record(tmp_path / "r.jsonl", calls))))
    live = opened(Live())
    assert replayed.tool_specs() == live.tool_specs()
    errors = 0
    for name, arguments in calls:
        text = json.dumps(arguments)
        expected, answer = ask(live, name, text), ask(replayed, name, text)
        assert answer.message == expected.message
        assert replace(answer.outcome, latency_ms=0.0) == replace(expected.outcome, latency_ms=0.0)
        errors += answer.outcome.error
    assert 0 < errors < 100


@pytest.mark.parametrize(
    "spelling",
    [
        '{"weight": 3, "to": "us"}',
        '{"to": "us", "weight": 3.0}',
        ' {"weight":3e0,\n"to":"\\u0075s", "note": null}',
    ],
)
def test_every_spelling_hits_the_recording(file: Path, spelling: str) -> None:
    assert ask(opened(Replayed(str(file))), "quote", spelling).message.content == '{"price": 6, "note": null}'


def test_missing_recording_fails_the_episode_and_names_the_nearest(file: Path) -> None:
    prototype = Replayed(str(file))
    with pytest.raises(ToolCrash, match="no recording for") as caught:
        ask(opened(prototype), "quote", '{"weight": 33, "to": "us"}')
    assert caught.value.cause == "tool_error"
    assert '{"note":null,"to":"us","weight":3}, 1 edits away' in str(caught.value)
    with pytest.raises(ToolCrash, match="it has none at all"):
        ask(opened(prototype), "name_of", '{"order": 1}')


def test_missing_recording_ends_as_failed_and_is_never_graded(file: Path) -> None:
    prototype = Replayed(str(file))
    episode = asyncio.run(play_through(prototype, TASK, prototype.scripted("oracle")(TASK, 0), seed=0))
    assert isinstance(episode.outcome, Failed)
    assert episode.outcome.cause == "tool_error"
    assert '"weight":2}, 3 edits away' in episode.outcome.detail


def test_telling_names_arguments_and_no_recorded_value(file: Path) -> None:
    environment = opened(Replayed(str(file), on_missing="tell"))
    answer = ask(environment, "quote", '{"weight": 41, "to": "us"}')
    assert answer.outcome.error
    assert not answer.outcome.malformed
    assert json.loads(answer.message.content) == {
        "error": "quote has no answer to these arguments; the nearest call that has one differs in: weight"
    }
    silent = ask(environment, "name_of", '{"order": 1}')
    assert json.loads(silent.message.content) == {"error": "name_of has no answer to these arguments"}


@pytest.mark.parametrize(
    "arguments", ['{"weight": "3"}', '{"weight": true}', '{"colour": 1}', "{", '{"weight": 1e999}']
)
def test_call_off_the_schema_is_the_policys_fault(file: Path, arguments: str) -> None:
    assert ask(opened(Replayed(str(file))), "quote", arguments).outcome.error


def test_arguments_nested_too_deep_are_the_policys_fault(tmp_path: Path) -> None:
    def search(tags: list) -> str:  # type: ignore[type-arg]
        """Search."""
        return str(tags)

    path = tmp_path / "r.jsonl"
    with Recorder(path, Functions(search)):
        pass
    answer = ask(opened(Replayed(str(path))), "search", f'{{"tags": {"[" * 700}{"]" * 700}}}')
    assert answer.outcome.error
    assert "recursion" in answer.message.content


@pytest.mark.slow
def test_concurrent_episodes_share_recordings(tmp_path: Path) -> None:
    calls = list(_calls(200))
    prototype = Replayed(str(record(tmp_path / "r.jsonl", calls)))
    live = opened(Live())
    expected = [ask(live, name, json.dumps(arguments)).message for name, arguments in calls]

    async def episode(number: int, executor: ThreadPoolExecutor) -> None:
        environment = opened(prototype)
        order = list(range(len(calls)))
        random.Random(number).shuffle(order)
        for index in order:
            name, arguments = calls[index]
            written = ToolCall(id="c", name=name, arguments=json.dumps(arguments))
            assert (await environment.call_tool(written, 10, executor=executor)).message == expected[index]
        environment.close()

    async def side_by_side() -> None:
        with ThreadPoolExecutor(8) as executor:
            await asyncio.gather(*(episode(number, executor) for number in range(16)))

    asyncio.run(side_by_side())


def test_schema_of_the_live_tools_is_compared(file: Path) -> None:
    class Current(Replayed):
        current_tools = (function_spec(Live().quote), function_spec(Live().name_of))

    class Changed(Replayed):
        current_tools = (function_spec(Live().quote),)

    assert list(Current(str(file)).tools()) == ["quote", "name_of"]
    with pytest.raises(EnvironmentLoadError, match=r"tools have changed since .*: name_of was .* is absent"):
        Changed(str(file))


def test_methods_stand_beside_recordings_but_never_in_their_place(file: Path) -> None:
    class Beside(Replayed):
        @tool
        def add(self, one: int, other: int) -> int:
            """Add."""
            return one + other

    class Instead(Replayed):
        @tool
        def quote(self, weight: float) -> str:
            """Quote."""
            return "cheap"

    environment = opened(Beside(str(file)))
    assert list(environment.tools()) == ["quote", "name_of", "add"]
    assert ask(environment, "add", '{"one": 1, "other": 2}').message.content == "3"
    with pytest.raises(EnvironmentLoadError, match="'quote'"):
        Instead(str(file))


def test_file_and_option_are_checked_when_the_environment_is_built(file: Path) -> None:
    with pytest.raises(EnvironmentLoadError, match="Replayed has no recordings"):
        Replayed()
    with pytest.raises(DatasetError, match="there is no file"):
        Replayed(str(file.with_name("other.jsonl")))
    with pytest.raises(EnvironmentLoadError, match="on_missing is 'guess': expected fail or tell"):
        Replayed(str(file), on_missing="guess")  # type: ignore[arg-type]


def test_arguments_named_like_ours_are_just_arguments(tmp_path: Path) -> None:
    def odd(name: str, environment: str, arguments: str, self: str) -> str:
        """Echo."""
        return name + environment + arguments + self

    path = tmp_path / "r.jsonl"
    arguments = {"name": "1", "environment": "2", "arguments": "3", "self": "4"}

    async def once() -> None:
        with Recorder(path, Functions(odd)) as recorder:
            await recorder.record("odd", arguments)

    asyncio.run(once())
    assert ask(opened(Replayed(str(path))), "odd", json.dumps(arguments)).message.content == "1234"


@pytest.mark.slow
def test_example_passes_the_check(play: Callable[..., Episode]) -> None:
    name = f"{EXAMPLE / 'environment.py'}:Weather"
    report = check_environment(name)
    assert report.findings == ()
    assert (report.passed, report.oracle.solved, report.oracle.of) == (True, 65, 65)
    environment = load_environment(name, {"on_missing": "fail"})
    assert all(environment.reward(play(environment, task)) == 1.0 for task in environment.tasks("test"))


def test_example_is_what_its_recorder_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in EXAMPLE.glob("*.py"):
        shutil.copy(path, tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "service", raising=False)
    runpy.run_path(str(tmp_path / "record.py"), run_name="__main__")
    assert (tmp_path / "tasks.jsonl").read_bytes() == (EXAMPLE / "tasks.jsonl").read_bytes()
    assert _without_latency(tmp_path / "recordings.jsonl") == _without_latency(EXAMPLE / "recordings.jsonl")


def test_page_records_and_replays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (EXAMPLE.parents[1] / "docs" / "environments.md").read_text(encoding="utf-8")
    section = page.split("\n## Recorded\n")[1].split("\n## ")[0]
    environment, recording = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "environment.py").write_text(environment, encoding="utf-8")
    (tmp_path / "record.py").write_text(recording, encoding="utf-8")
    runpy.run_path("record.py")
    weather = opened(load_environment("environment.py:Weather"))
    assert ask(weather, "find_station", '{"city": "Lima"}').message.content == '{"station": 4}'


def _without_latency(path: Path) -> list[dict[str, Any]]:
    return [{**json.loads(line), "latency_ms": 0} for line in path.read_text(encoding="utf-8").splitlines()]
