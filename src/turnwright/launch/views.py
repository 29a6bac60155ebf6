"""Views of a run while it runs: the terminal, MLflow, and the log file of the process."""

import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from turnwright.config import ResolvedConfig
from turnwright.core.protocols import UNWATCHED, Progress, Sink
from turnwright.tracking.console import ConsoleSink
from turnwright.tracking.mlflow import MlflowTarget, mlflow_sink


def open_sinks(
    resolved: ResolvedConfig, root: Path, *, num_steps: int, show: bool, progress: Progress = UNWATCHED
) -> list[Sink]:
    """Open the views that the configuration asks for, and the terminal where ``show`` does.

    Args:
        resolved: The run.
        root: Its directory.
        num_steps: Its last step.
        show: Show it in the terminal.
        progress: Told what those are at that have a server to wait for.
    """
    sinks: list[Sink] = []
    if show:
        sinks.append(ConsoleSink(num_steps=num_steps, title=root.name))
    if resolved.config.tracking.mlflow:
        sinks.append(mlflow_sink(MlflowTarget.of(root, resolved), resolved, num_steps=num_steps, progress=progress))
    return sinks


@contextmanager
def log_to(path: Path) -> Generator[None]:
    """Write what this package logs to a file, and its warnings about the run to the terminal too."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("turnwright")
    handlers = (handler, _ToTerminal(logging.WARNING))
    for one in handlers:
        logger.addHandler(one)
    try:
        yield
    finally:
        for one in handlers:
            logger.removeHandler(one)
            one.close()


class _ToTerminal(logging.Handler):
    """Looks for the terminal anew each time: while a panel is shown, that stands in its place."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, unless it comes with a traceback: single episodes that break are for the file."""
        if record.exc_info:
            return
        sys.stderr.write(f"{record.levelname.lower()}: {record.getMessage()}\n")
