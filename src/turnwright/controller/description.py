"""Description: what the groups of a step, or of a validation, say in numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

from turnwright.config import RunConfig
from turnwright.core.group import Attempt, Group
from turnwright.evaluation.scorers import Scorer
from turnwright.evaluation.watch import pass_metrics, score_metrics
from turnwright.rollout.filling import StepGroups, filling_metrics
from turnwright.rollout.metrics import attempt_metrics, group_metrics, with_domains
from turnwright.rollout.trainable import token_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Turns groups into metrics, of all of them and of each domain of a mixture."""

    config: RunConfig
    scorer: Scorer | None

    def of_step(self, groups: StepGroups) -> dict[str, float]:
        """Return what a step's groups say, those included that left the step for others."""
        rows, repetitions, left_out = groups.rows, groups.repetitions, groups.left_out

        def describe(some: Sequence[Group]) -> dict[str, float]:
            attempts = [attempt for group in some for attempt in group.attempts]
            keys = {attempt.episode.key for attempt in attempts}
            metrics = attempt_metrics(attempts, "rollout") | group_metrics(some, batch_size=len(some))
            metrics |= self._score(attempts, "score")
            metrics |= token_metrics(attempts, [row for row in rows if row.key in keys], left_out)
            if self.config.algorithm.max_repeated_tokens is not None:
                metrics["rollout/filtered_frac"] = len(keys & repetitions.keys()) / len(keys)
            return metrics

        metrics = with_domains(groups.groups, describe)
        if self.config.rollout.fill_rounds:
            metrics |= with_domains([made.group for made in groups.replaced], filling_metrics)
            metrics["rollout/fill/rounds"] = float(groups.num_rounds)
        return metrics

    def of_validation(self, groups: Sequence[Group]) -> dict[str, float]:
        """Return what the groups of a validation say."""
        return with_domains(groups, self._validation)

    def _validation(self, groups: Sequence[Group]) -> dict[str, float]:
        attempts = [attempt for group in groups for attempt in group.attempts]
        section = self.config.validation
        passed = pass_metrics(
            groups, "val", pass_k_values=section.pass_k_values, success_threshold=section.success_threshold
        )
        return attempt_metrics(attempts, "val") | passed | self._score(attempts, "val/score")

    def _score(self, attempts: Sequence[Attempt], prefix: str) -> dict[str, float]:
        episodes = [attempt.episode for attempt in attempts]
        threshold = self.config.validation.success_threshold
        return score_metrics(episodes, self.scorer, prefix, success_threshold=threshold)
