"""Configuration: one pydantic model per section of a run.toml, and how its values come together."""

from turnwright.config.algorithm import Algorithm
from turnwright.config.judging import Evaluation, Validation, Warmstart
from turnwright.config.load import read_toml, resolve, resolve_values
from turnwright.config.mixing import EnvironmentChoice, Member
from turnwright.config.reaching import Agent, Gateway
from turnwright.config.resolved import ResolvedConfig, Setting
from turnwright.config.run import RunConfig
from turnwright.config.running import Inference, Learner, Rollout, Tracking
from turnwright.config.training import Model, Optimizer, Run, Sampling, Schedule

__all__ = [
    "Agent",
    "Algorithm",
    "EnvironmentChoice",
    "Evaluation",
    "Gateway",
    "Inference",
    "Learner",
    "Member",
    "Model",
    "Optimizer",
    "ResolvedConfig",
    "Rollout",
    "Run",
    "RunConfig",
    "Sampling",
    "Schedule",
    "Setting",
    "Tracking",
    "Validation",
    "Warmstart",
    "read_toml",
    "resolve",
    "resolve_values",
]
