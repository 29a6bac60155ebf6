"""Engine and learner that compute at once never use more cores than there are, unless they are told to."""

import os

import pytest

from turnwright.config import resolve_values
from turnwright.launch.cores import Cores, share_cores


@pytest.mark.parametrize(
    ("cores", "settings", "expected"),
    [
        (8, [], (None, None)),
        (8, ["inference.num_threads=3"], (3, None)),
        (8, ["async_config.max_steps_off_policy=1"], (4, 4)),
        (7, ["async_config.max_steps_off_policy=1"], (3, 4)),
        (2, ["async_config.max_steps_off_policy=1"], (1, 1)),
        (1, ["async_config.max_steps_off_policy=1"], (1, 1)),
        (8, ["async_config.max_steps_off_policy=1", "inference.num_threads=6"], (6, 2)),
        (8, ["async_config.max_steps_off_policy=1", "learner.num_threads=6"], (2, 6)),
        (2, ["async_config.max_steps_off_policy=1", "learner.num_threads=2", "inference.num_threads=2"], (2, 2)),
    ],
)
def test_cores_are_divided_where_both_compute(
    monkeypatch: pytest.MonkeyPatch, cores: int, settings: list[str], expected: tuple[int | None, int | None]
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    values = {"environment": {"name": "prompts"}}
    config = resolve_values(values, source="test", overrides=settings).config
    assert share_cores(config) == Cores(engine=expected[0], learner=expected[1])
