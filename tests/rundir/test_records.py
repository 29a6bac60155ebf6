import math

import pytest
from hypothesis import given

from rundir.strategies import episodes, trajectories
from turnwright.core.episode import Episode, EpisodeKey
from turnwright.core.errors import AlignmentError, DatasetError
from turnwright.core.task import Task
from turnwright.core.trajectory import Trajectory
from turnwright.rundir import records


@pytest.mark.slow
@given(episodes())
def test_an_episode_survives_its_line_to_the_bit(episode: Episode) -> None:
    line = records.encode(episode)
    assert b"\n" not in line
    assert records.decode_episode(line) == episode
    assert type(records.decode_episode(line).outcome) is type(episode.outcome)


@pytest.mark.slow
@given(trajectories())
def test_a_trajectory_survives_its_line_to_the_bit(trajectory: Trajectory) -> None:
    line = records.encode(trajectory)
    assert b"\n" not in line
    assert records.decode_trajectory(line) == trajectory


def test_metrics_that_are_not_finite_are_null_on_disk_and_nan_in_memory() -> None:
    line = records.encode_metrics(3, 1.0, {"training/loss": math.inf, "training/kl": 0.1})
    assert line == b'{"step":3,"time":1.0,"training/loss":null,"training/kl":0.1}'
    assert math.isnan(records.decode_metrics(line)["training/loss"])


def test_data_that_json_cannot_say_is_named() -> None:
    task = Task(id="t1", prompt="p", data={"rule": object()})
    episode = Episode(key=EpisodeKey(task_id="t1", attempt=2), task=task, opening=())
    with pytest.raises(DatasetError, match=r"episode 't1#2' cannot be written: .*object.*keep Task\.data"):
        records.encode(episode)


def test_a_line_of_misaligned_streams_is_refused() -> None:
    line = (
        b'{"key": {"task_id": "a", "attempt": 0}, "turns": [{"index": 0, "parent": null, "kind": "root", "cause": "",'
        b'"prompt_token_ids": [1], "sampled_token_ids": [2, 3], "logprobs": [-0.5], "policy_versions": [0, 0],'
        b'"temperature": 1.0, "top_p": 1.0, "prefix_hash": "x"}]}'
    )
    with pytest.raises(AlignmentError, match="logprobs must align"):
        records.decode_trajectory(line)


def test_a_record_of_an_earlier_version_says_what_became_of_its_groups() -> None:
    line = b'{"step":2,"groups":[{"task":"a","domain":"","epoch":1,"round":1,"replaced":true}]}'
    (group,) = records.decode_batch(line).groups  # pyright: ignore[reportAttributeAccessIssue]
    assert (group.task, group.epoch, group.number, group.fate) == ("a", 1, -1, "no_signal")


def test_a_resumption_and_a_step_are_told_apart() -> None:
    for record in (
        records.Resumption(resumed_after_step=3, time=1.5),
        records.BatchRecord(step=3, groups=()),
        records.BatchRecord(
            step=4, groups=(records.BatchGroup(number=7, task="a", domain="d", epoch=1, version=3, fate="stale"),)
        ),
    ):
        assert records.decode_batch(records.encode(record)) == record
