"""examples/byo_agent as its readers run it: an agent's own process, a training process, HTTP between them."""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from system.conftest import Turnwright
from turnwright.core.episode import EpisodeKey
from turnwright.core.group import Attempt
from turnwright.core.outcome import Failed, Rewarded
from turnwright.rundir import RunReader
from turnwright.rundir.layout import RunLayout
from turnwright.rundir.record_log import recover

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLE = Path("examples") / "byo_agent"
SHORT = (
    "run.name=desk",
    "algorithm.group_size=4",
    "optimizer.warmup_steps=1",
    "schedule.max_steps=2",
    "schedule.val_every=0",
    "schedule.save_every=1",
)


@pytest.fixture
def workplace(turnwright: Turnwright) -> Turnwright:
    shutil.copytree(ROOT / EXAMPLE, turnwright.folder / EXAMPLE)
    return turnwright


@pytest.fixture
def port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return listener.getsockname()[1]


@contextmanager
def agent_at_work(workplace: Turnwright, port: int) -> Generator["subprocess.Popen[str]"]:
    """Run the example's agent; what it has printed is in agent.log."""
    command = [sys.executable, EXAMPLE / "agent.py", "--port", str(port)]
    with (workplace.folder / "agent.log").open("a") as log:
        agent = subprocess.Popen(
            command, cwd=workplace.folder, env=workplace.environment, stdout=log, stderr=log, text=True
        )
        try:
            until(lambda: is_healthy(port))
            yield agent
        finally:
            agent.kill()
            agent.wait()


def is_healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def until(condition: Callable[[], bool], *, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def ended(run: Path) -> dict[EpisodeKey, Attempt]:
    """Return the attempts of open groups that have ended."""
    groups = RunReader(run).open_groups() if RunLayout(run).manifest.is_file() else ()
    return {attempt.episode.key: attempt for group in groups for attempt in group.attempts}


def by_key(run: RunReader, step: int) -> dict[EpisodeKey, Attempt]:
    return {attempt.episode.key: attempt for attempt in run.attempts(step)}


def test_the_tasks_are_what_their_program_writes(workplace: Turnwright) -> None:
    assert workplace.python(EXAMPLE / "make_tasks.py", "made").code == 0
    made = {path.name: path.read_bytes() for path in (workplace.folder / "made").iterdir()}
    assert made == {path.name: path.read_bytes() for path in (ROOT / EXAMPLE / "tasks").iterdir()}
    assert set(made) == {"train.jsonl", "validation.jsonl", "test.jsonl"}


def test_the_agent_trains_over_http_and_every_attempt_is_in_the_log(workplace: Turnwright, port: int) -> None:
    target = f"agent.target=http://127.0.0.1:{port}/rollout"
    with agent_at_work(workplace, port):
        done = workplace("train", EXAMPLE / "run.toml", *SHORT, target, "algorithm.global_batch_size=4")
        assert (done.code, done.err) == (0, "")
        checkpoint = workplace.folder / "runs" / "desk" / "checkpoints" / "step_000002"
        few = ("--set", "evaluation.tasks=4", "--set", "evaluation.attempts=2")
        evaluated = workplace("eval", checkpoint, *few, "--json")
    assert (evaluated.code, evaluated.err) == (0, "")
    result = json.loads(evaluated.out)
    assert (result["num_tasks"], result["outcomes"]["failed"]) == (4, 0.0)
    assert set(result["fields"]) == {"class", "queue"}

    run = RunReader(workplace.folder / "runs" / "desk")
    steps = run.metrics()
    assert [step["training/delivered_fraction"] for step in steps] == [1.0, 1.0]
    assert [step["rollout/outcome/rewarded_frac"] for step in steps] == [1.0, 1.0]
    assert {"rollout/component/class", "rollout/component/queue"} <= steps[0].keys()
    attempts = by_key(run, 1) | by_key(run, 2)
    logged = {each.opened.key: each for each in recover(run.layout.records)}
    assert len(attempts) == 32
    assert {key: each.trajectory for key, each in logged.items()} == {
        key: attempt.trajectory for key, attempt in attempts.items()
    }
    assert {key: each.outcome for key, each in logged.items()} == {
        key: attempt.episode.outcome for key, attempt in attempts.items()
    }
    assert "rollout failed" not in (workplace.folder / "agent.log").read_text()


def test_a_run_whose_agent_dies_stops_with_the_cause_and_goes_on_once_it_is_back(
    workplace: Turnwright, port: int
) -> None:
    run = workplace.folder / "runs" / "desk"
    settings = (
        *SHORT,
        f"agent.target=http://127.0.0.1:{port}/rollout",
        "algorithm.global_batch_size=8",
        "rollout.rollout_max_concurrency=16",
        "rollout.rollout_max_retries=1",
        "rollout.max_pause_seconds=0",
    )
    with ThreadPoolExecutor(1) as thread:
        with agent_at_work(workplace, port):
            training = thread.submit(workplace, "train", EXAMPLE / "run.toml", *settings)
            until(lambda: RunLayout(run).metrics.is_file() and len(ended(run)) >= 4)
        stopped = training.result()
    assert stopped.code == 1
    assert "attempts failed, more than 20% of 32 (rollout.max_failed_fraction)" in stopped.err
    assert "agent_unreachable (" in stopped.err
    assert f"POST http://127.0.0.1:{port}/rollout failed: ConnectError" in stopped.err
    assert "Traceback" not in stopped.out + stopped.err
    left = ended(run)
    causes = [outcome.cause for each in left.values() if isinstance(outcome := each.episode.outcome, Failed)]
    kept = {key: each for key, each in left.items() if isinstance(each.episode.outcome, Rewarded)}
    assert set(causes) == {"agent_unreachable"}
    assert len(kept) >= 4
    assert len(causes) > 0.2 * 32

    with agent_at_work(workplace, port):
        resumed = workplace("train", "--resume", run)
    assert (resumed.code, resumed.err) == (0, "")
    _, step = RunReader(run).metrics()
    assert (step["rollout/outcome/failed_frac"], step["training/delivered_fraction"]) == (0.0, 1.0)
    trained = by_key(RunReader(run), 2)
    assert {key: trained[key].trajectory for key in kept} == {key: each.trajectory for key, each in kept.items()}
