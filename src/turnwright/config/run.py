"""RunConfig: all sections of a run.toml, and what must hold between them."""

from typing import Self

from pydantic import Field, model_validator

from turnwright.config.algorithm import Algorithm
from turnwright.config.algorithm_problems import algorithm_problems
from turnwright.config.judging import Evaluation, Validation, Warmstart
from turnwright.config.mixing import EnvironmentChoice
from turnwright.config.reaching import Agent, Gateway
from turnwright.config.running import AsyncConfig, Inference, Learner, Rollout, Tracking
from turnwright.config.section import Section
from turnwright.config.training import Model, Optimizer, Run, Sampling, Schedule

BFLOAT16_GAP = 0.02
"""Mean |log p - log q| between two kernels that is still rounding in bfloat16 (docs: ALGORITHMS, guard)."""


class RunConfig(Section):
    """A complete, validated configuration.

    Example::

        RunConfig.model_validate({"environment": {"name": "examples/orders/environment.py:Orders"}})
    """

    run: Run = Field(default_factory=Run)
    model: Model = Field(default_factory=Model)
    environment: EnvironmentChoice
    agent: Agent = Field(default_factory=Agent)
    algorithm: Algorithm = Field(default_factory=Algorithm)
    sampling: Sampling = Field(default_factory=Sampling)
    optimizer: Optimizer = Field(default_factory=Optimizer)
    schedule: Schedule = Field(default_factory=Schedule)
    rollout: Rollout = Field(default_factory=Rollout)
    async_config: AsyncConfig = Field(default_factory=AsyncConfig)
    gateway: Gateway = Field(default_factory=Gateway)
    inference: Inference = Field(default_factory=Inference)
    learner: Learner = Field(default_factory=Learner)
    validation: Validation = Field(default_factory=Validation)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    warmstart: Warmstart = Field(default_factory=Warmstart)
    tracking: Tracking = Field(default_factory=Tracking)

    @model_validator(mode="after")
    def _check_across_sections(self) -> Self:
        problems = [
            *self._impossible_schedules(),
            *algorithm_problems(self.algorithm, self.async_config.max_steps_off_policy),
            *self._settings_without_effect(),
            *self._limits_at_odds(),
            *self._depends_on_the_clock(),
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _impossible_schedules(self) -> list[str]:
        problems: list[str] = []
        if self.algorithm.updates_per_step > self.algorithm.global_batch_size:
            problems.append(
                f"algorithm.updates_per_step = {self.algorithm.updates_per_step} is more than "
                f"algorithm.global_batch_size = {self.algorithm.global_batch_size}: every update needs at least one "
                "whole group; lower the first or raise the second"
            )
        if self.optimizer.warmup_steps >= self.schedule.max_steps:
            problems.append(
                f"optimizer.warmup_steps = {self.optimizer.warmup_steps} must be below schedule.max_steps = "
                f"{self.schedule.max_steps}: the run would end before the learning rate is reached; lower the first"
            )
        if self.warmstart.warmup_steps >= self.warmstart.steps:
            problems.append(
                f"warmstart.warmup_steps = {self.warmstart.warmup_steps} must be below warmstart.steps = "
                f"{self.warmstart.steps}; lower the first"
            )
        return problems

    def _settings_without_effect(self) -> list[str]:
        problems: list[str] = []
        if self.validation.val_temperature == 0 and self.validation.val_group_size > 1:
            problems.append(
                f"validation.val_group_size = {self.validation.val_group_size} has no effect with "
                "validation.val_temperature = 0.0: greedy attempts at a task are all equal; "
                "set validation.val_temperature=1.0 or validation.val_group_size=1"
            )
        if self.tracking.mlflow_uri is not None and not self.tracking.mlflow:
            problems.append(
                f"tracking.mlflow_uri = {self.tracking.mlflow_uri!r} has no effect with tracking.mlflow = false; "
                "set tracking.mlflow=true or remove the first"
            )
        if self.agent.kind == "builtin" and self.rollout.rollout_launches_per_second is not None:
            problems.append(
                "rollout.rollout_launches_per_second has no effect with agent.kind = 'builtin'; remove it or choose "
                "another agent"
            )
        if self.gateway.hand_out_aws_keys and self.agent.kind != "subprocess":
            problems.append(
                f"gateway.hand_out_aws_keys = true has no effect with agent.kind = {self.agent.kind!r}: give your "
                "agent the variables in the run's gateway.json yourself"
            )
        if self.gateway.hand_out_aws_keys and self.gateway.require_scoped_tokens:
            problems.append(
                "gateway.hand_out_aws_keys and gateway.require_scoped_tokens contradict each other: the key pair is "
                "not bound to one trajectory; set one"
            )
        if self.schedule.keep_last is None and self.schedule.keep_best is not None:
            problems.append(
                f"schedule.keep_best = {self.schedule.keep_best} has no effect without schedule.keep_last: all "
                "checkpoints are kept; set schedule.keep_last or remove the first"
            )
        return problems

    def _depends_on_the_clock(self) -> list[str]:
        """Name what a run that must not depend on the clock cannot have."""
        if not self.run.deterministic:
            return []
        problems: list[str] = []
        if self.agent.kind != "builtin":
            problems.append(
                f"run.deterministic = true cannot hold with agent.kind = {self.agent.kind!r}: when a program of its "
                "own calls depends on the clock; set run.deterministic=false"
            )
        if steps := self.async_config.max_steps_off_policy:
            problems.append(
                f"run.deterministic = true cannot hold with async_config.max_steps_off_policy = {steps}: which "
                "weights sample a token then depends on the clock; set one of them to its default"
            )
        if (lowest := self.rollout.rollout_min_concurrency) is not None:
            problems.append(
                f"run.deterministic = true cannot hold with rollout.rollout_min_concurrency = {lowest}: how many "
                "episodes are in flight then depends on the clock; remove one of them"
            )
        return problems

    def _limits_at_odds(self) -> list[str]:
        problems: list[str] = []
        lowest, highest = self.rollout.rollout_min_concurrency, self.rollout.rollout_max_concurrency
        if lowest is not None and lowest > highest:
            problems.append(
                f"rollout.rollout_min_concurrency = {lowest} must be at most rollout.rollout_max_concurrency = "
                f"{highest}; lower the first"
            )
        limit = self.sampling.max_sequence_length
        if limit is not None and self.sampling.sampling_max_tokens >= limit:
            problems.append(
                f"sampling.sampling_max_tokens = {self.sampling.sampling_max_tokens} must be below "
                f"sampling.max_sequence_length = {limit}: a reply of full length leaves no room for its prompt"
            )
        if self.inference.max_queue < self.rollout.rollout_max_concurrency:
            problems.append(
                f"inference.max_queue = {self.inference.max_queue} must be at least rollout.rollout_max_concurrency = "
                f"{self.rollout.rollout_max_concurrency}: every open episode may wait for a slot at once"
            )
        if self.model.dtype == "bfloat16" and self.learner.sampler_gap_warn < BFLOAT16_GAP:
            problems.append(
                f"learner.sampler_gap_warn = {self.learner.sampler_gap_warn} cannot hold with model.dtype = "
                f"'bfloat16': expected at least {BFLOAT16_GAP}; set learner.sampler_gap_warn={BFLOAT16_GAP}"
            )
        return problems
