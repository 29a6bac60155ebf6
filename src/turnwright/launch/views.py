"""Views of a run while it runs: the terminal, MLflow, and the log file of the process."""

import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from turnwright.config import ResolvedConfig
from turnwright.core.group import Attempt
from turnwright.core.protocols import Sink
from turnwright.evaluation.scorers import Scorer
from turnwright.evaluation.watch import with_score
from turnwright.tracking.background import BackgroundSink
from turnwright.tracking.console import ConsoleSink
from turnwright.tracking.mlflow import MlflowTarget, mlflow_sink


class Views:
    """The sinks of one run, and what hands episodes to those that show them."""

    def __init__(self, scorer: Scorer | None) -> None:
        """Take the scorer that judges validation episodes; ``open`` fills ``sinks``."""
        self.sinks: list[Sink] = []
        self._scorer = scorer
        self._traces: list[BackgroundSink] = []

    def open(self, resolved: ResolvedConfig, root: Path, *, num_steps: int, show: bool) -> None:
        """Open the views that the configuration asks for, and the terminal where ``show`` does."""
        tracking = resolved.config.tracking
        if show:
            self.sinks.append(ConsoleSink(num_steps=num_steps, title=root.name))
        if tracking.mlflow:
            target = MlflowTarget(root=root, uri=tracking.mlflow_uri, experiment=tracking.mlflow_experiment)
            self._traces.append(mlflow_sink(target, resolved, num_steps=num_steps))
        self.sinks += self._traces

    def training(self, step: int, attempts: Sequence[Attempt]) -> None:
        """Show the episodes of a training step."""
        for sink in self._traces:
            sink.episodes(step, [attempt.episode for attempt in attempts], folder="trajectories")

    def validation(self, step: int, attempts: Sequence[Attempt]) -> None:
        """Show the validation episodes after a step, with their scores."""
        for sink in self._traces:
            episodes = [with_score(attempt.episode, self._scorer) for attempt in attempts]
            sink.episodes(step, episodes, folder="validation")


@contextmanager
def log_to(path: Path) -> Generator[None]:
    """Write what this package logs to a file as well."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("turnwright")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()
