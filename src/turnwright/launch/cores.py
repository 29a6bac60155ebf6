"""Cores: how the engine and the learner of one run share those of the machine."""

import os
from dataclasses import dataclass

from turnwright.config import RunConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """Cores of each; None = all."""

    engine: int | None
    learner: int | None


def share_cores(config: RunConfig) -> Cores:
    """Return the cores of engine and learner, those first that the configuration gives them.

    Where they take turns, all cores are for whoever computes. Where they compute at once, the cores are divided: two
    that use all of two cores take four to five times as long as two that use one each.
    """
    engine, learner = config.inference.num_threads, config.learner.num_threads
    if not config.async_config.max_steps_off_policy:
        return Cores(engine=engine, learner=learner)
    cores = _available()
    if learner is None:
        learner = max(1, cores - (engine or cores // 2))
    return Cores(engine=engine or max(1, cores - learner), learner=learner)


def _available() -> int:
    # Where processes cannot be bound to cores nothing says which are theirs.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
