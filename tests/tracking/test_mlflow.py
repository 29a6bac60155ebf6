import math
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tracking.running import CONFIG, create_run, write_step
from turnwright.core.episode import Episode
from turnwright.core.outcome import Failed
from turnwright.rundir import RunReader
from turnwright.tracking import background
from turnwright.tracking.following import num_missed
from turnwright.tracking.mlflow import MlflowTarget, MlflowView, catch_up, mlflow_sink, rebuild

mlflow = pytest.importorskip("mlflow")
MlflowClient = mlflow.MlflowClient

# Deprecations inside MLflow and its database layer are not ours to mend.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One SQLite file for the module: making its tables takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture
def target(database: str, tmp_path: Path) -> MlflowTarget:
    return MlflowTarget(root=tmp_path / "demo", uri=database, experiment=tmp_path.name)


@pytest.fixture
def client(database: str) -> Any:
    return MlflowClient(tracking_uri=database)


def history_of(client: Any, run_id: str, metric: str = "training/loss") -> list[tuple[int, float]]:
    return [(entry.step, entry.value) for entry in client.get_metric_history(run_id, metric)]


def traces_of(target: MlflowTarget, **arguments: str) -> list[Any]:
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(target.address)
    try:
        experiment = mlflow.get_experiment_by_name(target.experiment)
        return mlflow.search_traces(locations=[experiment.experiment_id], return_type="list", **arguments)
    finally:
        mlflow.set_tracking_uri(before)


def test_a_run_is_shown_with_metrics_settings_and_traces(target: MlflowTarget, client: Any, group: tuple[Episode, ...]):
    with create_run(target.root) as writer:
        sink = mlflow_sink(target, CONFIG, num_steps=2)
        writer.metrics(1, {"training/loss": 0.5, "rollout/reward/mean": 0.25, "training/nothing": math.nan})
        sink.metrics(1, {})
        write_step(writer, 2, group, training__loss=0.25)
        sink.metrics(2, {})
        sink.close()
    assert not sink.is_behind
    experiment = client.get_experiment_by_name(target.experiment)
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("demo", "FINISHED")
    assert run.data.params["algorithm.group_size"] == str(CONFIG.config.algorithm.group_size)
    assert history_of(client, run.info.run_id) == [(1, 0.5), (2, 0.25)]
    assert "training/nothing" not in run.data.metrics
    assert len(traces_of(target, run_id=run.info.run_id)) == 4


def test_a_trace_leads_from_prompt_to_tool_call(target: MlflowTarget, episode: Episode):
    view = MlflowView(target, CONFIG)
    view.episode(episode, folder="trajectories", step=12, ended=1_700_000_000.0)
    (trace,) = traces_of(target, filter_string="tags.step = '12' AND tags.outcome = 'rewarded'")
    assert trace.info.request_preview == "order: O3"
    assert trace.info.execution_duration == 66
    assert trace.info.tags["row"] == "trajectories/step_000012/order-4#2"
    spans = {span.name: span for span in trace.data.spans}
    assert list(spans) == ["trajectory", "turn-0", "get_order", "unreadable call", "turn-1"]
    root, turn, tool = spans["trajectory"], spans["turn-0"], spans["get_order"]
    assert (root.parent_id, turn.parent_id, tool.parent_id) == (None, root.span_id, turn.span_id)
    assert root.inputs == {"prompt": "order: O3"}
    assert root.attributes["reward"] == 0.75
    assert root.attributes["policy_versions"] == [11, 12]
    assert turn.outputs["reasoning_content"] == "look it up"
    assert (tool.inputs, tool.outputs) == ({"order": "O3"}, {"item": "K1"})
    assert tool.attributes["row"] == "trajectories/step_000012/order-4#2/0"
    assert spans["unreadable call"].status.status_code.value == "ERROR"


def test_an_episode_logged_twice_is_one_trace(target: MlflowTarget, episode: Episode):
    view = MlflowView(target, CONFIG)
    for _ in range(2):
        view.episode(episode, folder="trajectories", step=1, ended=1_700_000_000.0)
    (trace,) = traces_of(target)
    assert len(trace.data.spans) == 5


def test_failures_are_found_by_their_state(target: MlflowTarget, episode: Episode):
    view = MlflowView(target, CONFIG)
    view.episode(episode, folder="validation", step=0, ended=1_700_000_000.0)
    broken = replace(episode, key=replace(episode.key, attempt=3), outcome=Failed(cause="tool_timeout"))
    view.episode(broken, folder="validation", step=0, ended=1_700_000_000.0)
    (trace,) = traces_of(target, filter_string="trace.status = 'ERROR'")
    assert trace.info.tags["cause"] == "tool_timeout"
    assert trace.info.tags["kind"] == "validation"


def test_all_metrics_of_a_step_are_one_call(target: MlflowTarget, monkeypatch: pytest.MonkeyPatch):
    view, sizes = MlflowView(target, CONFIG), list[int]()
    log_batch = MlflowClient.log_batch

    def counting(self: Any, run_id: str, **arguments: object) -> object:
        sizes.append(len(arguments.get("metrics", ())))
        return log_batch(self, run_id, **arguments)

    monkeypatch.setattr(MlflowClient, "log_batch", counting)
    view.metrics(1, {f"training/metric_{i}": float(i) for i in range(200)}, when=1_700_000_000.0)
    assert sizes == [200]


def test_a_continued_run_directory_continues_its_mlflow_run(target: MlflowTarget, client: Any):
    first = MlflowView(target, CONFIG)
    first.close(completed=False)
    assert client.get_run(first.run_id).info.status == "KILLED"
    second = MlflowView(target, CONFIG)
    assert second.run_id == first.run_id
    assert client.get_run(first.run_id).info.status == "RUNNING"


def test_the_global_state_of_mlflow_is_left_alone(target: MlflowTarget, episode: Episode):
    before = (mlflow.get_tracking_uri(), mlflow.active_run())
    view = MlflowView(target, CONFIG)
    view.episode(episode, folder="trajectories", step=1, ended=1_700_000_000.0)
    assert (mlflow.get_tracking_uri(), mlflow.active_run()) == before


def test_the_default_place_is_the_run_directory(tmp_path: Path):
    target = MlflowTarget(root=tmp_path / "demo")
    assert target.address == f"sqlite:///{tmp_path / 'demo' / 'mlflow.db'}"
    assert target.artifacts == (tmp_path / "demo" / "mlflow_artifacts").as_uri()


def test_mlflow_is_rebuilt_from_the_run_directory(target: MlflowTarget, client: Any, group: tuple[Episode, ...]):
    with create_run(target.root) as writer:
        writer.validation(0, group[0])
        writer.metrics(0, {"val/reward/mean": 0.75})
        write_step(writer, 1, group, training__loss=0.5)
        writer.status("finished", 1)
    stale = MlflowView(target, CONFIG)
    stale.metrics(1, {"training/loss": 77.0}, when=0.0)
    stale.episode(group[0], folder="trajectories", step=9, ended=1_700_000_000.0)

    run_id = rebuild(RunReader(target.root), target, traces_per_step=3)

    experiment = client.get_experiment_by_name(target.experiment)
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_id, run.info.status) == (run_id, "FINISHED")
    assert (run.data.metrics["training/loss"], run.data.metrics["val/reward/mean"]) == (0.5, 0.75)
    assert sorted(trace.info.tags["row"] for trace in traces_of(target)) == [
        *(f"trajectories/step_000001/{key}" for key in ("order-4#10", "order-4#11", "order-5#10")),
        "validation/step_000000/order-5#1",
    ]
    assert num_missed(RunReader(target.root).layout) == 0
    assert catch_up(RunReader(target.root), target) == 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Server:
    """A real MLflow server over an SQLite file."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(self.port), "--workers", "1"]
        store = [
            f"--backend-store-uri=sqlite:///{self._folder / 'mlflow.db'}",
            f"--artifacts-destination={self._folder}",
        ]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen([*command, *store], stdout=log, stderr=log, start_new_session=True)
        wait_until(self.answers, seconds=400)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


def wait_until(condition: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setattr(background, "FIRST_PAUSE", 0.2)
    server = Server(tmp_path)
    yield server
    server.kill()


def test_a_server_that_is_away_at_the_start_and_at_the_end(
    server: Server, tmp_path: Path, group: tuple[Episode, ...], caplog: pytest.LogCaptureFixture
):
    target = MlflowTarget(root=tmp_path / "demo", uri=server.uri)
    with create_run(target.root) as writer:
        sink = mlflow_sink(target, CONFIG, num_steps=4)

        def step(number: int) -> None:
            write_step(writer, number, group, training__loss=1 / number)
            sink.metrics(number, {})

        step(1)
        wait_until(lambda: "cannot be written, the run goes on" in caplog.text, seconds=400)
        server.start()
        wait_until(lambda: not sink.is_behind, seconds=400)
        step(2)
        wait_until(lambda: not sink.is_behind, seconds=400)
        server.kill()
        step(3)
        step(4)
        sink.close()
        writer.status("finished", 4)
    assert sink.is_behind
    assert caplog.text.count("cannot be written, the run goes on") == 2
    assert f"misses 2 steps of this run: `turnwright runs mlflow {target.root}` shows the rest" in caplog.text
    server.start()
    assert catch_up(RunReader(target.root), target) == 2
    assert catch_up(RunReader(target.root), target) == 0
    client = MlflowClient(tracking_uri=server.uri)
    experiment = client.get_experiment_by_name(target.experiment)
    (run,) = client.search_runs([experiment.experiment_id])
    assert history_of(client, run.info.run_id) == [(number, 1 / number) for number in range(1, 5)]
    assert run.info.status == "FINISHED"
    rows = [trace.info.tags["row"] for trace in traces_of(target)]
    assert len(rows) == len(set(rows)) == 16
