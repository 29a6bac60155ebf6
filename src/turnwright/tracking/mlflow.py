"""MLflow as a view of a run: its metrics, its settings, and one trace per shown episode.

Nothing here touches MLflow's global state (tracking address, active run, tracer), so an agent in the same process
may use MLflow for itself. While MLflow is away the run goes on; what it misses is shown when it is back, at the next
start, or by ``catch_up``. All of it can be made again from the run directory by ``rebuild``. To find traces::

    mlflow.set_tracking_uri("sqlite:///runs/demo/mlflow.db")
    mlflow.search_traces(locations=[experiment_id], filter_string="tags.step = '12' AND tags.outcome = 'rewarded'")
"""

import json
import logging
import math
import os
import socket
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from turnwright.config import ResolvedConfig
from turnwright.core.episode import Episode
from turnwright.core.errors import ConfigError
from turnwright.core.protocols import UNWATCHED, Progress
from turnwright.rundir.layout import RunLayout
from turnwright.rundir.reader import RunReader
from turnwright.tracking.background import BackgroundSink
from turnwright.tracking.following import Follower, Position, missed_since, show_step, write_position
from turnwright.tracking.spans import Folder, SpanRecord, episode_spans

if TYPE_CHECKING:
    from mlflow.entities import Span

RUN_TAG = "turnwright.run"
"""Tag of the MLflow run: path of the run directory it shows."""
_METRICS_PER_CALL = 1000
_PARAMETERS_PER_CALL = 100
_TAGGED = ("step", "task", "domain", "attempt", "outcome", "cause", "reward", "score", "row")
"""Attributes of an episode that traces can be searched by."""
_CONNECT_SECONDS = 5.0
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class MlflowTarget:
    """Which MLflow run shows which run directory."""

    root: Path
    """The run directory."""
    uri: str | None = None
    """Tracking address; None = an SQLite file in the run directory."""
    experiment: str = "turnwright"

    @property
    def address(self) -> str:
        """Tracking address."""
        return self.uri or f"sqlite:///{self.root.resolve() / 'mlflow.db'}"

    @property
    def artifacts(self) -> str | None:
        """Where a new experiment keeps files; None leaves it to the server."""
        return None if self.uri else (self.root.resolve() / "mlflow_artifacts").as_uri()

    @classmethod
    def of(cls, root: Path, config: ResolvedConfig) -> "MlflowTarget":
        """Return where a run is shown by its configuration."""
        tracking = config.config.tracking
        return cls(root=root, uri=tracking.mlflow_uri, experiment=tracking.mlflow_experiment)


def mlflow_sink(
    target: MlflowTarget, config: ResolvedConfig, *, num_steps: int, progress: Progress = UNWATCHED
) -> BackgroundSink:
    """Return a sink that shows a run in MLflow; raises ConfigError when MLflow is not installed."""
    _require_mlflow()
    return BackgroundSink(
        _follower(target, config),
        name=f"MLflow ({target.address})",
        num_steps=num_steps,
        cure=f": `{catch_up_command(target.root)}` shows the rest",
        progress=progress,
    )


def catch_up_command(root: Path) -> str:
    """Return the command that shows what MLflow missed of a run."""
    return f"turnwright runs mlflow {root}"


def catch_up(reader: RunReader, target: MlflowTarget) -> int:
    """Show in MLflow what it missed of a run that has ended; returns the number of steps.

    Raises ConnectionError while its server is away, and whatever MLflow raises; calling it again goes on from there.
    """
    _require_mlflow()
    follower, steps = _follower(target, reader.config()), list[int]()
    follower.catch_up(steps.append)
    follower.close(completed=_is_complete(reader))
    return len(steps)


def rebuild(reader: RunReader, target: MlflowTarget, *, traces_per_step: int | None = None) -> str:
    """Replace what MLflow shows of a run by what its run directory says; returns the MLflow run's id.

    Args:
        reader: the run.
        target: where to show it.
        traces_per_step: training episodes shown per step; None = as configured.

    Raises ConnectionError while its server is away, and whatever MLflow raises.
    """
    _require_mlflow()
    _require_answer(target.address)
    config = reader.config()
    traces_per_step = config.config.tracking.traces_per_step if traces_per_step is None else traces_per_step
    view = MlflowView(target, config, replace=True)
    write_position(reader.layout, Position())
    for missed in missed_since(reader.layout, 0):
        show_step(view, reader, missed.step, missed.values, missed.time, traces_per_step=traces_per_step)
        write_position(reader.layout, Position(view=view.name, offset=missed.end))
    view.close(completed=_is_complete(reader))
    return view.run_id


def _follower(target: MlflowTarget, config: ResolvedConfig) -> Follower:
    def open_view() -> MlflowView:
        _require_answer(target.address)
        return MlflowView(target, config)

    return Follower(RunLayout(target.root), open_view, traces_per_step=config.config.tracking.traces_per_step)


def _is_complete(reader: RunReader) -> bool:
    status = reader.status()
    return status is not None and status.phase == "finished"


def _require_answer(address: str) -> None:
    """Raise ConnectionError when nothing listens at the address of a server: MLflow itself would try for minutes."""
    url = urlsplit(address)
    if url.scheme in _PORTS and url.hostname is not None:
        try:
            socket.create_connection((url.hostname, url.port or _PORTS[url.scheme]), _CONNECT_SECONDS).close()
        except OSError as error:
            raise ConnectionError(f"nothing answers at {address} ({error})") from None


class MlflowView:
    """One MLflow run, written by the calling thread; a run directory that is continued continues its MLflow run."""

    def __init__(self, target: MlflowTarget, config: ResolvedConfig, *, replace: bool = False) -> None:
        """Connect, and find or make the run.

        Args:
            target: which run shows which run directory.
            config: becomes the run's parameters.
            replace: take back what is shown so far.
        """
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        for talkative in ("alembic", "mlflow.store.db.utils"):
            logging.getLogger(talkative).setLevel(logging.WARNING)
        from mlflow.tracing.client import TracingClient
        from mlflow.tracking import MlflowClient

        self._address = target.address
        self._client = MlflowClient(tracking_uri=target.address)
        self._traces = TracingClient(target.address)
        experiment = self._client.get_experiment_by_name(target.experiment)
        self.experiment_id: str = (
            self._client.create_experiment(target.experiment, artifact_location=target.artifacts)
            if experiment is None
            else experiment.experiment_id
        )
        root = str(target.root.resolve())
        existing = self._client.search_runs([self.experiment_id], f'tags.`{RUN_TAG}` = "{root}"', max_results=1)
        if existing and not replace:
            self.run_id: str = existing[0].info.run_id
            self._client.update_run(self.run_id, status="RUNNING")
            return
        for run in existing:
            self._delete(run.info.run_id)
        run = self._client.create_run(self.experiment_id, run_name=target.root.name, tags={RUN_TAG: root})
        self.run_id = run.info.run_id
        self._log_parameters(config)

    @property
    def name(self) -> str:
        """The address, and the run there."""
        return f"{self._address} {self.run_id}"

    def metrics(self, step: int, values: Mapping[str, float], *, when: float) -> None:
        """Log the metrics of one step, in one call; values that are not finite are left out."""
        from mlflow.entities import Metric

        _require_answer(self._address)
        milliseconds = int(when * 1000)
        found = [Metric(name, value, milliseconds, step) for name, value in values.items() if math.isfinite(value)]
        for start in range(0, len(found), _METRICS_PER_CALL):
            self._client.log_batch(self.run_id, metrics=found[start : start + _METRICS_PER_CALL])

    def episode(self, episode: Episode, *, folder: Folder, step: int, ended: float) -> None:
        """Log one episode as a trace; logging it again changes nothing."""
        from mlflow.entities import TraceInfo, TraceLocation, TraceState

        records = episode_spans(episode, folder=folder, step=step, ended=ended)
        root = records[0]
        trace_id = blake2b(f"{self.run_id}/{root.attributes['row']}".encode(), digest_size=16).digest()
        tags = {name: _as_tag(root.attributes[name]) for name in _TAGGED if name in root.attributes}
        self._traces.start_trace(
            TraceInfo(
                trace_id=f"tr-{trace_id.hex()}",
                trace_location=TraceLocation.from_experiment_id(self.experiment_id),
                request_time=root.start_ns // 1_000_000,
                execution_duration=(root.end_ns - root.start_ns) // 1_000_000,
                state=TraceState.ERROR if root.error else TraceState.OK,
                request_preview=episode.task.prompt[:1000],
                response_preview=episode.answer[:1000],
                trace_metadata={"mlflow.sourceRun": self.run_id},
                tags={
                    "mlflow.traceName": root.name,
                    "mlflow.trace.spansLocation": "TRACKING_STORE",
                    "kind": "validation" if folder == "validation" else "training",
                    **tags,
                },
            )
        )
        spans = [_as_span(record, position, trace_id) for position, record in enumerate(records)]
        self._traces.log_spans(self.experiment_id, spans)

    def close(self, *, completed: bool) -> None:
        """Mark the run as ended."""
        self._client.set_terminated(self.run_id, status="FINISHED" if completed else "KILLED")

    def _log_parameters(self, config: ResolvedConfig) -> None:
        from mlflow.entities import Param

        parameters = [Param(setting.key, str(setting.value)[:6000]) for setting in config.settings()]
        for start in range(0, len(parameters), _PARAMETERS_PER_CALL):
            self._client.log_batch(self.run_id, params=parameters[start : start + _PARAMETERS_PER_CALL])

    def _delete(self, run_id: str) -> None:
        while shown := self._client.search_traces(
            locations=[self.experiment_id], run_id=run_id, max_results=100, include_spans=False
        ):
            self._client.delete_traces(self.experiment_id, trace_ids=[trace.info.trace_id for trace in shown])
        self._client.delete_run(run_id)


def _as_span(record: SpanRecord, position: int, trace_id: bytes) -> "Span":
    from mlflow.entities import Span

    attributes = {
        "mlflow.traceRequestId": f"tr-{trace_id.hex()}",
        "mlflow.spanType": record.kind,
        "mlflow.spanInputs": record.inputs,
        "mlflow.spanOutputs": record.outputs,
        **record.attributes,
    }
    return Span.from_dict(
        {
            "trace_id": b64encode(trace_id).decode(),
            "span_id": _span_id(position),
            "parent_span_id": "" if record.parent is None else _span_id(record.parent),
            "name": record.name,
            "start_time_unix_nano": record.start_ns,
            "end_time_unix_nano": record.end_ns,
            "status": {"code": "STATUS_CODE_ERROR" if record.error else "STATUS_CODE_OK", "message": record.error},
            "attributes": {name: json.dumps(value) for name, value in attributes.items()},
            "events": [],
        }
    )


def _span_id(position: int) -> str:
    """Return a span's id; 0 is no id, so positions count from 1."""
    return b64encode((position + 1).to_bytes(8, "big")).decode()


def _as_tag(value: Any) -> str:
    return (str(value).lower() if isinstance(value, bool) else str(value))[:250]


def _require_mlflow() -> None:
    if find_spec("mlflow") is None:
        raise ConfigError("tracking.mlflow = true needs MLflow: pip install 'turnwright[mlflow]', or set it to false")
