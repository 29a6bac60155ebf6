"""How many steps follow from tasks, batch size, epochs and the step limit."""

import pytest

from turnwright.config import resolve
from turnwright.config.steps import count_steps
from turnwright.core.errors import ConfigError


@pytest.mark.parametrize(
    ("tasks", "settings", "per_epoch", "total"),
    [
        (100, ("algorithm.global_batch_size=16", "schedule.max_epochs=2", "schedule.max_steps=50"), 6, 12),
        (100, ("algorithm.global_batch_size=16", "schedule.max_epochs=none", "schedule.max_steps=50"), 6, 50),
        (16, ("algorithm.global_batch_size=16", "schedule.max_epochs=9", "schedule.max_steps=5"), 1, 5),
    ],
)
def test_the_first_limit_ends_a_run(tasks: int, settings: tuple[str, ...], per_epoch: int, total: int) -> None:
    config = resolve(None, ["environment.name=returns_desk", *settings]).config
    steps = count_steps(config, tasks)
    assert (steps.per_epoch, steps.total) == (per_epoch, total)


def test_tasks_that_fill_no_batch_are_refused() -> None:
    config = resolve(None, ["environment.name=returns_desk", "algorithm.global_batch_size=16"]).config
    with pytest.raises(ConfigError, match="global_batch_size = 16 is more than the 15 training tasks"):
        count_steps(config, 15)
