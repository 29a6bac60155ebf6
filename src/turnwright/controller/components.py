"""Components: what a training run is made of, built by ``launch``."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from turnwright.core.progress import ProgressBoard
from turnwright.core.task import Task
from turnwright.environments.base import Environment
from turnwright.evaluation.scorers import Scorer
from turnwright.inference.base import TrainedEngine
from turnwright.learner.optimizer import Optimizer
from turnwright.learner.passes import Passes
from turnwright.learner.reference import Reference
from turnwright.learner.step import StepSettings
from turnwright.models.load import Policy
from turnwright.rendering.renderer import Renderer
from turnwright.rollout.attempts import EpisodeRunner
from turnwright.rollout.runner import EpisodeLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """The parts of one run; the controller closes their engine."""

    prototype: Environment
    open_runner: Callable[[str, Path], AbstractAsyncContextManager[EpisodeRunner]]
    """Given the run's name and the folder of its records: what makes attempts, until the block ends."""
    policy: Policy
    passes: Passes
    renderer: Renderer
    engine: TrainedEngine
    optimizer: Optimizer
    step_settings: StepSettings
    reference: Reference | None
    """The policy the run began with; None where no divergence from it counts."""
    learner_threads: int | None
    """Cores of the learner; None = all."""
    limits: EpisodeLimits
    turn_limits: Mapping[str, int]
    """Turn limits of a mixture's domains; empty where one limit holds for all episodes."""
    train_tasks: Sequence[Task]
    validation_tasks: Sequence[Task]
    progress: ProgressBoard
    """Where the parts say what they are at; the watchdog reads it."""
    scorer: Scorer | None
    """The independent scorer, watched beside the reward; never trained on."""
