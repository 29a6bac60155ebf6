"""What a process began with is out of the collector's sight while a server answers, and no longer."""

import gc
from collections.abc import Iterator

import pytest

from turnwright.launch.garbage import startup_frozen

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    """Begin as a process does; the tests' own start is out of sight otherwise."""
    gc.unfreeze()
    yield
    gc.freeze()


def test_what_is_there_is_frozen_until_the_block_ends() -> None:
    early, thresholds = {"a": ["container"]}, gc.get_threshold()
    with startup_frozen():
        assert gc.get_threshold() == (*thresholds[:2], 10 * thresholds[2])
        late = [early]
        seen = [id(found) for found in gc.get_objects()]
        assert id(late) in seen
        assert id(early) not in seen
    assert (gc.get_freeze_count(), gc.get_threshold()) == (0, thresholds)
    assert id(early) in [id(found) for found in gc.get_objects()]


def test_what_was_out_of_sight_before_stays_there() -> None:
    early = ["container"]
    gc.freeze()
    with startup_frozen():
        pass
    assert gc.get_freeze_count() > 0
    assert id(early) not in [id(found) for found in gc.get_objects()]


def test_garbage_of_the_start_is_collected_first() -> None:
    class Node:
        dead = False

        def __del__(self) -> None:
            Node.dead = True

    one, other = Node(), Node()
    one.__dict__["other"], other.__dict__["one"] = other, one
    del one, other
    with startup_frozen():
        assert Node.dead
