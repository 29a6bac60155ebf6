"""Garbage collection beside an event loop: what the process began with is left out of it while a server answers."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def startup_frozen() -> Iterator[None]:
    """Keep everything that exists now out of the collector's sight until the block ends.

    Libraries and tokenizer are hundreds of thousands of objects that live as long as the process. Looking through all
    of them again and again, as Python's collector does while trajectories come and go, stops the event loop for
    a tenth of a second or more each time.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
