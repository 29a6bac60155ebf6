"""Whether rollouts that run side by side stay apart: pure rules over a rollout alone and those that ran at once.

Mixed-up rollouts train replies on rewards that others earned, and nothing else shows it.
"""

from collections.abc import Iterator, Sequence

from turnwright.core.finding import Finding
from turnwright.launch.probe_codes import found
from turnwright.launch.probe_report import ProbedRollout


def pair_findings(alone: ProbedRollout, pair: Sequence[ProbedRollout]) -> list[Finding]:
    """Return what shows only when rollouts run side by side.

    Args:
        alone: A rollout that ran before them, by itself.
        pair: Those that ran at once.
    """
    evidence = dict.fromkeys([*_named_others(alone, pair), *_heard_of_others(pair), *_made_for_others(alone, pair)])
    return [found("rollouts.mixed", "side by side", "; ".join(evidence))] if evidence else []


def _named_others(alone: ProbedRollout, pair: Sequence[ProbedRollout]) -> Iterator[str]:
    """Tell of calls that name several rollouts, or one that is over."""
    numbers = {rollout.trajectory_id: rollout.number for rollout in (alone, *pair)}
    began = min(rollout.began for rollout in pair)
    has_idle = any(not rollout.calls for rollout in pair)
    for rollout in (alone, *pair):
        for call in rollout.calls:
            named = sorted({numbers[name] for name in call.named.values() if name in numbers})
            if len(named) > 1:
                yield f"{call.spelled} named rollouts {' and '.join(map(str, named))} at once"
            elif rollout is alone and has_idle and call.began > began:
                yield f"{call.spelled} came for rollout {alone.number}, which was over, and none for one that had begun"


def _heard_of_others(pair: Sequence[ProbedRollout]) -> Iterator[str]:
    for rollout in pair:
        for other in sorted(rollout.heard_of):
            yield f"a call of rollout {rollout.number} carried a reply that was given to rollout {other}"


def _made_for_others(alone: ProbedRollout, pair: Sequence[ProbedRollout]) -> Iterator[str]:
    """Tell of what one rollout lacks and another has too much of, measured by the one that ran alone."""
    for what, count in (("first model calls", _num_openings), ("completions", _num_completions)):
        usual, counts = count(alone), {rollout.number: count(rollout) for rollout in pair}
        for few in pair:
            for many in pair:
                if counts[few.number] < usual < counts[many.number]:
                    yield (
                        f"rollout {many.number} had {counts[many.number]} {what} and rollout {few.number} had "
                        f"{counts[few.number]}, where rollout {alone.number}, alone, had {usual}"
                    )


def _num_openings(rollout: ProbedRollout) -> int:
    return sum(call.opens and not call.is_retry for call in rollout.model_calls)


def _num_completions(rollout: ProbedRollout) -> int:
    return sum(call.kind == "complete" and not call.is_retry for call in rollout.calls)
