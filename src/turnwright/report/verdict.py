"""The verdict in words: what a comparison shows, and what it does not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from turnwright.evaluation.compare import Comparison, Difference
from turnwright.evaluation.statistics import Interval
from turnwright.report.material import SuiteEvaluations

Tone = Literal["better", "same", "worse", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What stands on top of the report."""

    headline: str
    tone: Tone
    sentences: tuple[str, ...]
    cautions: tuple[str, ...]


def judge(suites: Sequence[SuiteEvaluations]) -> Verdict:
    """Return the verdict on the first suite that compares two checkpoints."""
    for suite in suites:
        if suite.comparison is not None:
            return _compared(suite, suite.comparison)
    if suites:
        return _alone(suites[0])
    return Verdict(
        headline="No verdict: nothing was evaluated",
        tone="unknown",
        sentences=(
            "The run directory holds no evaluation, so nothing outside the reward says whether the policy got better.",
        ),
        cautions=(),
    )


def percent(share: float) -> str:
    """Return a share as readers expect it: 0.4873 is "48.7 %"."""
    return f"{100 * share:.1f} %"


def points(interval: Interval) -> str:
    """Return a difference of shares in percentage points, with its interval."""
    return f"{100 * interval.value:+.1f} points (95 % interval {100 * interval.low:+.1f} to {100 * interval.high:+.1f})"


def _compared(suite: SuiteEvaluations, comparison: Comparison) -> Verdict:
    headlines = {
        "better": "Better than the base",
        "same": "No proven difference from the base",
        "worse": "Worse than the base",
    }
    sentences = [_sentence(f"One attempt at temperature {suite.tuned.temperature:g} succeeds", comparison.success)]
    if comparison.greedy_success is not None:
        sentences.append(_sentence("The greedy attempt succeeds", comparison.greedy_success))
    sentences.append(_meaning(comparison.success, comparison.greedy_success))
    cautions = list(comparison.warnings)
    if comparison.reward_is_scorer:
        cautions.insert(0, "The environment's own reward is the judge here: this is not independent evidence.")
    return Verdict(
        headline=headlines[comparison.verdict],
        tone=comparison.verdict,
        sentences=tuple(sentences),
        cautions=tuple(cautions),
    )


def _alone(suite: SuiteEvaluations) -> Verdict:
    success = suite.tuned.success
    measured = (
        f"One attempt at temperature {suite.tuned.temperature:g} succeeds on {percent(success.value)} of the "
        f"{suite.tuned.num_tasks} tasks (95 % interval {percent(success.low)} to {percent(success.high)})."
        if success
        else "Not one attempt could be scored."
    )
    reason = suite.refusal or "Only one checkpoint was evaluated: evaluate the base on the same suite to compare."
    return Verdict(
        headline="No verdict: nothing to compare with",
        tone="unknown",
        sentences=(measured, reason),
        cautions=suite.tuned.warnings,
    )


def _sentence(subject: str, found: Difference) -> str:
    moved = {"better": "up from", "worse": "down from", "same": "against"}[found.verdict]
    return (
        f"{subject} on {percent(found.tuned)} of {found.num_tasks} tasks, {moved} {percent(found.base)}: "
        f"{points(found.difference)}."
    )


def _meaning(success: Difference, greedy: Difference | None) -> str:
    if greedy is None:
        return "There is no greedy attempt to tell learning from sharper sampling."
    pair = (success.verdict, greedy.verdict)
    if pair == ("better", "better"):
        return "Both rise: the policy's first choice is better, not only its sampling sharper."
    if pair == ("better", "same"):
        return "Only sampled success rises: that may be sharper sampling rather than something learned."
    if pair == ("better", "worse"):
        return "Sampling got sharper while the policy's first choice got worse."
    if pair == ("same", "same"):
        return "Both intervals contain 0: this suite does not tell the two checkpoints apart."
    return "Read the two apart: sampled success is the chance of one random attempt, greedy the policy's first choice."
