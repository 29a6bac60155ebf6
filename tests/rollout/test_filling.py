"""Groups and what became of them: which are live, how old their oldest token is, and what those that left have cost."""

from dataclasses import replace

import pytest

from rollout.playing import make_attempt
from turnwright.core.errors import TrainingError
from turnwright.core.group import TrainableGroup
from turnwright.core.outcome import Failed, Outcome, Rewarded
from turnwright.core.task import Task
from turnwright.learner.batch import BatchSettings, build_batch, is_live
from turnwright.learner.credit import AdvantageSettings
from turnwright.rollout.batches import Dealt
from turnwright.rollout.filling import MadeGroup, StepGroups, filling_metrics, judge_group
from turnwright.rollout.guards import require_few_repetitions
from turnwright.rollout.repetition import RepetitionSettings

LOOP = (7, 8) * 4
FATES = {
    "good": (Rewarded(value=0.0), Rewarded(value=1.0)),
    "dull": (Rewarded(value=0.0), Rewarded(value=0.0)),
    "broken": (Rewarded(value=0.0), Failed(cause="tool_error")),
    "loop": (Rewarded(value=0.0), Rewarded(value=1.0)),
}


def make_group(fate: str, number: int = 0, versions: tuple[int, ...] = (4, 4)) -> MadeGroup:
    """Return a group of two attempts admitted under version 4; the second of "loop" repeats itself."""
    task = Task(id=f"{fate}{number}", prompt="?", domain="odd" if number % 2 else "even")
    outcomes: tuple[Outcome, ...] = FATES[fate]
    attempts = [make_attempt(task, 0, outcomes[0], versions=(6, 6))]
    if fate == "loop":
        attempts.append(make_attempt(task, 1, outcomes[1], LOOP))
    else:
        attempts.append(make_attempt(task, 1, outcomes[1], versions=versions))
    dealt = Dealt(number=number, task=task, epoch=0, version=4)
    return judge_group(dealt, attempts, RepetitionSettings(max_repeated_tokens=6))


def test_a_group_is_as_old_as_its_oldest_token_that_is_trained() -> None:
    assert make_group("good", versions=(5, 7)).oldest == 5
    # What failed or repeats itself is not trained.
    assert make_group("broken", versions=(5, 7)).oldest == 6
    assert make_group("loop").oldest == 6
    nothing = judge_group(Dealt(number=0, task=Task(id="t", prompt="?"), epoch=0, version=4), [], None)
    assert nothing.oldest == 4


def test_a_step_is_made_of_what_it_trains_and_what_left_it() -> None:
    good, dull, broken, loop = (make_group(fate, number) for number, fate in enumerate(FATES))
    step = StepGroups(trained=(good, loop), replaced=(dull,), evicted=(broken,))
    assert [group.task.id for group in step.groups] == ["good0", "loop3", "dull1", "broken2"]
    assert len(step.attempts) == 8
    # Only what is trained counts for a domain.
    assert (step.num_of("even"), step.num_of("odd"), step.num_of("other")) == (1, 1, 0)
    assert [group.task_id for group in step.trainable] == ["good0", "loop3"]
    assert len(step.rows) == 3
    assert sorted(map(str, step.left_out)) == ["broken2#0", "broken2#1", "dull1#0", "dull1#1", "loop3#1"]
    assert [(one.number, one.fate) for one in step.record(9).groups] == [
        (0, "trained"),
        (3, "trained"),
        (1, "no_signal"),
        (2, "stale"),
    ]
    # 2 + 2 tokens of the dull group, the same of the broken one, 2 + 8 of the other.
    assert filling_metrics([made.group for made in (dull, broken, loop)]) == {
        "rollout/fill/groups": 3.0,
        "rollout/fill/tokens": 18.0,
    }


@pytest.mark.parametrize("method", ["group_based", "group_based_per_turn", "grpo_passk", "reinforce_pp", "monte_carlo"])
def test_a_group_is_live_where_the_learner_finds_it_so(method: str) -> None:
    groups = [make_group(fate).trainable for fate in FATES]
    groups.append(TrainableGroup(task_id="nobody", attempts=()))
    for truncated in ("reward", "mask", "zero"):
        settings = BatchSettings(advantages=AdvantageSettings(method=method, k=2), truncated=truncated)
        for group in (*groups, *(with_all_cut(group) for group in groups)):
            assert is_live(group, settings) == bool(build_batch([group], settings).num_live_groups)


def with_all_cut(group: TrainableGroup) -> TrainableGroup:
    return replace(group, attempts=tuple(replace(one, truncated=True) for one in group.attempts))


def test_repetitions_above_their_share_stop_the_run() -> None:
    repetitions = [one for number in range(2) for one in make_group("loop", number).repetitions.values()]
    told = {"num_attempts": 6, "decode": lambda token_ids: " ".join(map(str, token_ids))}
    require_few_repetitions(3, repetitions, limit=0.34, **told)
    require_few_repetitions(3, (), limit=0.0, **told)
    with pytest.raises(
        TrainingError, match=r"step 3: 33% .*max_filter_rate = 0.3: .* 8 tokens repeat an n-gram of 2: '7 8'"
    ):
        require_few_repetitions(3, repetitions, limit=0.3, **told)
