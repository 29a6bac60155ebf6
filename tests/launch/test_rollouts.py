"""Each kind of agent that a configuration can name makes attempts; what cannot work is refused before anything runs."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from system.gateway_at_work import ANSWER, LONGEST_SEQUENCE, Visit, configured, settings, shipped_renderer
from turnwright.agents.base import AgentError
from turnwright.config import RunConfig
from turnwright.core.errors import ConfigError, EnvironmentLoadError
from turnwright.core.group import Attempt
from turnwright.core.outcome import Rewarded, Truncated
from turnwright.core.task import Task
from turnwright.environments.gallery.returns_desk.environment import ReturnsDesk
from turnwright.environments.mixture import Mixture
from turnwright.environments.prompts import Prompts
from turnwright.gateway.http.server import GatewayServer, bind
from turnwright.inference.scripted import ScriptedEngine
from turnwright.launch.rollouts import open_runner, require_grader
from turnwright.rollout.collector import EpisodeRunner, Wanted, collect_attempts
from turnwright.rollout.inprocess import InProcessRunner
from turnwright.rundir.layout import RunLayout
from turnwright.rundir.record_log import recover

pytestmark = pytest.mark.slow

TASK = Task(id="order-4", prompt="order: O3", data={"gold": "refund", "city": "Oslo"})
AGENT = """
import json, os, sys, urllib.request


def post(payload, path, body):
    metadata = payload["metadata"]
    headers = {"authorization": "Bearer " + metadata["api_key"]}
    request = urllib.request.Request(metadata["endpoint"] + path, json.dumps(body).encode(), headers, method="POST")
    urllib.request.urlopen(request).read()


def ask(payload):
    assert set(payload["instance"]) == {"prompt", "city"}, payload["instance"]
    post(payload, "/v1/chat/completions", {"messages": [{"role": "user", "content": payload["prompt"]}]})


def rollout(payload):
    ask(payload)
    return 1.0


def handler(event, context):
    ask(event)
    name = event["metadata"]["trajectory_id"]
    post(event, "/complete-rollout", {"TrajectoryId": name})
    post(event, "/update-reward", {"TrajectoryId": name, "Rewards": [1.0]})
    return {}


if __name__ == "__main__":
    ask(json.load(sys.stdin))
    print(json.dumps({"reward": float(os.environ["DESK_REWARD"])}))
"""


EAGER = """

def eager(payload):
    for _ in range(3):
        try:
            ask(payload)
        except urllib.error.HTTPError:
            return
"""


@asynccontextmanager
async def runner_of(config: RunConfig, records: Path | None = None) -> AsyncGenerator[EpisodeRunner]:
    renderer = shipped_renderer()
    engine = ScriptedEngine(renderer.tokenizer, lambda request: ANSWER, max_sequence_length=LONGEST_SEQUENCE)
    async with open_runner(
        config, name="demo", prototype=Prompts(), renderer=renderer, engine=engine, records=records
    ) as runner:
        yield runner


async def attempt(runner: EpisodeRunner) -> Attempt:
    (made,) = await collect_attempts(runner, [Wanted(task=TASK, attempt=0)], settings())
    return made


def agent_config(kind: str, target: str | None = None, **agent: Any) -> RunConfig:
    return configured(agent={"kind": kind, "target": target, "public_columns": ["city"], **agent})


@pytest.fixture
def agent_file(tmp_path: Path) -> Path:
    path = tmp_path / "desk_agent.py"
    path.write_text(AGENT)
    return path


@pytest.mark.parametrize("kind", ["function", "handler", pytest.param("subprocess", marks=pytest.mark.slow)])
def test_agents_that_this_process_starts(kind: str, agent_file: Path, tmp_path: Path) -> None:
    configs = {
        "function": agent_config("function", f"{agent_file}:rollout"),
        "handler": agent_config("handler", f"{agent_file}:handler"),
        "subprocess": agent_config("subprocess", f"python3 '{agent_file}'", options={"DESK_REWARD": "1.0"}),
    }

    async def main() -> Attempt:
        async with runner_of(configs[kind], tmp_path / "run" / "records") as runner:
            return await attempt(runner)

    (tmp_path / "run").mkdir()
    made = asyncio.run(main())
    assert made.episode.outcome == Rewarded(value=1.0)
    assert [turn.reply.content for turn in made.episode.turns] == [ANSWER]
    (recorded,) = recover(tmp_path / "run" / "records")
    assert recorded.attempt() == made


def test_an_agent_behind_http_gets_the_configured_headers() -> None:
    seen: list[str] = []

    async def rollout(request: Request) -> Response:
        seen.append(request.headers["x-desk"])
        visit = Visit(await request.json(), [])
        await visit.say()
        await visit.complete()
        await visit.reward(1.0)
        return JSONResponse({})

    async def health(request: Request) -> Response:
        return JSONResponse({})

    async def main() -> Attempt:
        app = Starlette(routes=[Route("/rollout", rollout, methods=["POST"]), Route("/health", health)])
        async with (
            GatewayServer(app, bind()) as server,
            runner_of(agent_config("http", server.url, options={"x-desk": "7"})) as runner,
        ):
            return await attempt(runner)

    assert asyncio.run(main()).episode.outcome == Rewarded(value=1.0)
    assert seen == ["7"]


def test_an_agent_that_does_not_answer_is_named_before_the_first_rollout() -> None:
    async def main() -> None:
        listener = bind()
        listener.close()
        async with runner_of(agent_config("http", f"{listener.url}/rollout")):
            raise AssertionError("the block must not be entered")

    with pytest.raises(AgentError, match="is the agent running there"):
        asyncio.run(main())


def test_a_worker_finds_the_gateway_by_its_card(tmp_path: Path) -> None:
    layout = RunLayout(tmp_path)

    async def work() -> None:
        card = json.loads(layout.gateway.read_text())
        assert layout.gateway.stat().st_mode & 0o077 == 0, "for the owner alone"
        worker = Visit(
            {"metadata": {"trajectory_id": "", "endpoint": card["url"], "api_key": card["worker_token"]}}, []
        )
        visit = Visit(await worker.get("/rollouts/next?wait=20"), [])
        await visit.say()
        await visit.complete()
        await visit.reward(1.0)

    async def main() -> Attempt:
        async with runner_of(agent_config("queue"), layout.records) as runner, asyncio.TaskGroup() as group:
            group.create_task(work())
            return await attempt(runner)

    assert asyncio.run(main()).episode.outcome == Rewarded(value=1.0)
    assert not layout.gateway.exists(), "a gateway that is closed has none"


def test_the_built_in_agent_needs_no_gateway(tmp_path: Path) -> None:
    async def main() -> None:
        async with runner_of(configured(), tmp_path / "records") as runner:
            assert isinstance(runner, InProcessRunner)
        assert not (tmp_path / "records").exists()

    asyncio.run(main())


def test_an_agent_has_the_turns_of_its_tasks_domain(tmp_path: Path) -> None:
    path = tmp_path / "eager.py"
    path.write_text(AGENT.replace("    ask(payload)\n    return 1.0", "    eager(payload)\n    return 1.0") + EAGER)

    async def main() -> list[Attempt]:
        async with runner_of(agent_config("function", f"{path}:rollout")) as runner:
            wanted = [Wanted(task=replace(TASK, id=f"{domain}/4", domain=domain), attempt=0) for domain in "ab"]
            return await collect_attempts(runner, wanted, replace(settings(), turn_limits={"a": 2}))

    short, long = asyncio.run(main())
    assert (len(short.episode.turns), short.episode.outcome) == (2, Truncated(value=1.0, cause="max_turns"))
    assert (len(long.episode.turns), long.episode.outcome) == (3, Rewarded(value=1.0))


def test_somebody_must_bring_tools_and_reward_for_each_domain() -> None:
    mixture = Mixture({"returns": ReturnsDesk(train_tasks=120), "own": Prompts()})
    with pytest.raises(ConfigError, match=r"cannot work with environment 'prompts' \(domain 'own'\)"):
        require_grader(configured(), mixture)
    require_grader(agent_config("queue"), mixture)


def test_somebody_must_bring_tools_and_reward() -> None:
    with pytest.raises(ConfigError, match=r"agent\.kind = 'builtin' cannot work with environment 'prompts'"):
        require_grader(configured(), Prompts())
    require_grader(agent_config("queue"), Prompts())
    require_grader(configured(), ReturnsDesk())


@pytest.mark.parametrize(
    ("agent", "told"),
    [
        ({"kind": "http"}, r"agent\.target must say where the agent is"),
        ({"kind": "function"}, r"agent\.target must say where the agent is"),
        ({"kind": "queue", "target": "http://127.0.0.1:1"}, r"agent\.target = 'http://127.0.0.1:1' has no effect"),
        ({"kind": "builtin", "target": "desk.py:rollout"}, r"agent\.target = 'desk.py:rollout' has no effect"),
        ({"kind": "function", "target": "desk.py:rollout", "options": {"A": "1"}}, r"agent\.options has no effect"),
        ({"kind": "builtin", "public_columns": ["city"]}, r"agent\.public_columns has no effect"),
        ({"kind": "lambda", "target": "x"}, r"agent\.kind"),
    ],
)
def test_settings_of_an_agent_that_have_no_effect_are_refused(agent: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        configured(agent=agent)


@pytest.mark.parametrize(
    ("config", "error", "told"),
    [
        (agent_config("function", "nowhere.py:rollout"), EnvironmentLoadError, "nowhere.py"),
        (agent_config("function", "json:nothing"), EnvironmentLoadError, "json has no function 'nothing'"),
        (agent_config("http", "desk.example"), ConfigError, "the agent's URL must be like"),
        (
            agent_config("subprocess", "agent", options={"OPENAI_API_KEY": "sk"}),
            ConfigError,
            "OPENAI_API_KEY is set for each rollout",
        ),
        (
            configured(agent={"kind": "queue"}, gateway={"host": "0.0.0.0"}),
            ConfigError,
            "tokens would travel unencrypted",
        ),
        (
            configured(agent={"kind": "queue"}, gateway={"host": "0.0.0.0", "accept_unscoped_tokens": True}),
            ConfigError,
            "lets anyone reward any trajectory",
        ),
    ],
)
def test_an_agent_or_gateway_that_cannot_be_is_refused_before_the_first_rollout(
    config: RunConfig, error: type[Exception], told: str
) -> None:
    async def main() -> None:
        async with runner_of(config):
            raise AssertionError("the block must not be entered")

    with pytest.raises(error, match=told):
        asyncio.run(main())
