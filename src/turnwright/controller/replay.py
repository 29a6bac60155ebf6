"""Replay: what an interrupted run left on disk, as the loop needs it to go on.

    checkpoint s --train again, without sampling--> closed steps s + 1 .. n --open groups--> step n + 1

A closed step names the groups it trains, in their order, before it is trained; so the same update follows from the
same weights, and no finished rollout is lost or trained twice in the lineage of the weights.
"""

from dataclasses import dataclass

from turnwright.config import RunConfig
from turnwright.rollout.batches import Batches, Dealer
from turnwright.rollout.filling import MadeGroup, StepGroups, judge_group
from turnwright.rollout.repetition import RepetitionSettings
from turnwright.rundir.groups import keys_of
from turnwright.rundir.reader import RunReader
from turnwright.rundir.records import BatchGroup, OpenGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """Where an interrupted run goes on; all empty for a new one."""

    checkpoint: int = 0
    """Step whose checkpoint the components were built from; 0 = the policy that the run began with."""
    closed_until: int = 0
    """Last step whose groups are on disk; those behind the checkpoint are trained again."""
    reported: frozenset[int] = frozenset()
    """Steps whose metrics are on disk."""
    dealt: tuple[BatchGroup, ...] = ()
    """Every group that was ever dealt."""
    open_groups: tuple[OpenGroup, ...] = ()
    """Those of no closed step, with the attempts that had ended."""


def read_step(run: RunReader, step: int, batches: Batches, config: RunConfig) -> StepGroups:
    """Return the groups of a closed step as they were when it was trained.

    Args:
        run: The run directory.
        step: Which one.
        batches: Of the run.
        config: Of the run.

    Raises RunDirectoryError when the step's record names a task that the environment no longer has.
    """
    record = next(record for record in run.batches() if record.step == step)
    attempts = {attempt.episode.key: attempt for attempt in run.attempts(step)}
    dealer = Dealer(batches)
    repetition = RepetitionSettings.from_config(config.algorithm)

    def made(group: BatchGroup) -> MadeGroup:
        keys = keys_of(group, config.algorithm.group_size)
        return judge_group(dealer.dealt(group), [attempts[key] for key in keys if key in attempts], repetition)

    by_fate: dict[str, list[MadeGroup]] = {}
    for group in record.groups:
        by_fate.setdefault(group.fate, []).append(made(group))
    return StepGroups(
        trained=tuple(by_fate.get("trained", ())),
        replaced=tuple(by_fate.get("no_signal", ())),
        evicted=tuple(by_fate.get("stale", ())),
    )
