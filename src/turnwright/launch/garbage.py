"""Garbage collection beside an event loop, which stops while the collector looks through all objects there are."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

RARER = 10
"""Full collections come so many times more rarely than Python has it."""


@contextmanager
def startup_frozen() -> Iterator[None]:
    """Keep everything that exists now out of the collector's sight, and look through the rest rarely, until the end.

    Libraries and tokenizer are hundreds of thousands of objects that live as long as the process, and trajectories are
    freed without the collector's help. Looking through all of them again and again, as Python does while trajectories
    come and go, stops the event loop for a tenth of a second or more each time. Where something is out of its sight
    already, the end is that of whoever put it there.
    """
    ours = gc.get_freeze_count() == 0
    young, middle, old = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(young, middle, old * RARER)
    try:
        yield
    finally:
        gc.set_threshold(young, middle, old)
        if ours:
            gc.unfreeze()
