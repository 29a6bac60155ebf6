"""The agents on the pages of docs/agents, run as they stand there, by the launchers that training uses."""

import asyncio
import re
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from clients.conftest import ROOT
from clients.serving import MAX_TURNS, config_for
from turnwright.agents.base import AgentError, AgentLauncher
from turnwright.agents.builtin import LoopLimits
from turnwright.agents.http import HttpAgent
from turnwright.agents.subprocess import ROLLOUT_VARIABLES, SubprocessAgent
from turnwright.core.group import Attempt
from turnwright.core.outcome import Rewarded
from turnwright.core.task import Task
from turnwright.inference.replies import load_replies, reply_script
from turnwright.inference.scripted import ScriptedEngine
from turnwright.launch.gateway import open_gateway, sampling_limits
from turnwright.models.paths import resolve_model_path
from turnwright.rendering.renderer import Renderer
from turnwright.rollout.collector import CollectorSettings, Wanted, collect_attempts
from turnwright.rollout.external import AgentRunner
from turnwright.rollout.runner import EpisodeLimits
from turnwright.rollout.tokens import count_tokens, cut_rows

pytestmark = pytest.mark.clients

PAGES = ROOT / "docs" / "agents"
PROMPT = "Is order O3 late?"
LONGEST = 30
"""Lines of an example."""
SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A code block of a page."""

    page: str
    number: int
    language: str
    code: str

    @property
    def name(self) -> str:
        return f"{self.page}-{self.language}-{self.number}"


def blocks(page: Path) -> list[Example]:
    found = re.findall(r"^```(python|sh|json lines)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return [
        Example(page=page.stem, number=number, language=language, code=code)
        for number, (language, code) in enumerate(found, start=1)
    ]


EVERYTHING = [example for page in sorted(PAGES.glob("*.md")) for example in blocks(page)]
AGENTS = [example for example in EVERYTHING if example.language == "python"]
SCRIPTS = [example for example in EVERYTHING if example.language == "sh" and "$TURNWRIGHT_ENDPOINT" in example.code]
"""Agents in a shell; other shell blocks are commands of the reader."""
(REPLIES,) = [example for example in EVERYTHING if example.language == "json lines"]


def attempt(agent: "Agent", folder: Path) -> Attempt:
    """Let an agent make one attempt on a gateway that answers with the replies of the index page."""
    (folder / "replies.jsonl").write_text(REPLIES.code)
    renderer = Renderer.load(resolve_model_path("tiny"))
    script = reply_script(
        load_replies(folder / "replies.jsonl"),
        lambda message: renderer.decode(renderer.reply_ids(message)[:-1]),
        renderer.decode,
    )
    engine = ScriptedEngine(renderer.tokenizer, script)
    config = config_for({})
    limits = EpisodeLimits(loop=LoopLimits(max_turns=MAX_TURNS), timeout_seconds=SECONDS)
    settings = CollectorSettings(seed=1, sampling=sampling_limits(config), limits=limits, max_retries=0)
    wanted = [Wanted(task=Task(id="order-3", prompt=PROMPT, split="train"), attempt=0)]

    async def run() -> Attempt:
        async with open_gateway(config, name="pages", renderer=renderer, engine=engine, max_turns=MAX_TURNS) as opened:
            aws = opened.credentials.aws_environment(opened.url)
            async with agent.launcher({k: v for k, v in aws.items() if k not in ROLLOUT_VARIABLES}) as launcher:
                runner = AgentRunner(gateway=opened.gateway, launcher=launcher, engine=engine)
                return (await collect_attempts(runner, wanted, settings))[0]

    return asyncio.run(run())


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A program on disk, and how it is started."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    port: int | None = None
    """Where it serves rollouts; None = it makes one and ends."""

    @asynccontextmanager
    async def launcher(self, aws: Mapping[str, str]) -> AsyncGenerator[AgentLauncher]:
        environment = {**self.environment, **aws}
        if self.port is None:
            yield SubprocessAgent(self.command, timeout=SECONDS, env=environment)
            return
        process = await asyncio.create_subprocess_exec(
            *self.command, env={"PATH": "/usr/bin:/bin", **environment}, stderr=asyncio.subprocess.PIPE
        )
        served = HttpAgent(f"http://127.0.0.1:{self.port}", timeout=SECONDS)
        try:
            await _until_it_answers(served, process)
            yield served
        finally:
            await served.close()
            if process.returncode is None:
                process.terminate()
            _, said = await process.communicate()
            print(said.decode())  # noqa: T201 - shown beside a failure


async def _until_it_answers(agent: HttpAgent, process: asyncio.subprocess.Process) -> None:
    while True:
        try:
            await agent.check()
            return
        except AgentError:
            assert process.returncode is None, (await process.communicate())[1].decode()
            await asyncio.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def prepared(example: Example, python: Path, folder: Path) -> Agent:
    """Write an example to a file; a served one gets a free port in place of its own, which may be taken here."""
    code, port = example.code, None
    if "serve(solve, port=8080)" in code:
        port = free_port()
        code = code.replace("port=8080", f"port={port}")
    program = folder / "agent.py"
    program.write_text(code)
    environment = {"PYTHONPATH": str(ROOT / "src"), "AWS_SHARED_CREDENTIALS_FILE": str(folder / "none")}
    return Agent(command=(str(python), str(program)), environment=environment, port=port)


@pytest.mark.parametrize("example", AGENTS, ids=lambda example: example.name)
def test_an_agent_on_a_page_runs(example: Example, clients_python: Path, tmp_path: Path):
    assert len(example.code.splitlines()) <= LONGEST
    made = attempt(prepared(example, clients_python, tmp_path), tmp_path)
    assert made.episode.outcome == Rewarded(value=1.0)
    called, said = (turn.reply for turn in made.episode.turns)
    assert [call.name for call in called.tool_calls] == ["get_order"]
    assert said.content == "Order O3 is late."
    counts = count_tokens([made.trajectory], cut_rows(made.trajectory))
    assert (counts.delivered_fraction, counts.datums, counts.fork) == (1.0, 1, 0)


@pytest.mark.parametrize("example", SCRIPTS, ids=lambda example: example.name)
def test_a_shell_script_on_a_page_runs(example: Example, clients_python: Path, tmp_path: Path):
    script = tmp_path / "agent.sh"
    script.write_text("set -e\n" + example.code)
    made = attempt(Agent(command=("sh", str(script)), environment={}), tmp_path)
    assert made.episode.outcome == Rewarded(value=1.0)


def test_every_page_is_linked_and_every_framework_has_an_agent():
    index = (PAGES / "index.md").read_text()
    assert set(re.findall(r"\]\(([a-z-]+)\.md\)", index)) == {page.stem for page in PAGES.glob("*.md")} - {"index"}
    table = set(re.findall(r"\]\((\S+)\.md\) \|$", index, re.MULTILINE))
    assert {example.page for example in AGENTS} == table
