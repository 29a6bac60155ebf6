"""Quiet: what an environment breaks while it is audited becomes a finding, and no traceback on the terminal."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from turnwright.rollout import runner


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the runner's log and the end of threads to ourselves while the body runs."""
    log, hook = logging.getLogger(runner.__name__), threading.excepthook
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    threading.excepthook = lambda ended: None
    try:
        yield
    finally:
        log.setLevel(level)
        threading.excepthook = hook
