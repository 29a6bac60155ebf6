"""The runs of a study, some at once; what is there already is not made again."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed

from turnwright import TurnwrightError


def make_missing(makers: Mapping[str, Callable[[], str]], *, total: int, jobs: int) -> dict[str, str]:
    """Make runs and say how each one went and how long the rest will take; return why which ones failed.

    Args:
        makers: Makes a run and returns how it went, or raises TurnwrightError; by the run's name.
        total: Runs of the study, those that are there included.
        jobs: How many at once.
    """
    print(f"{total} runs, {len(makers)} to make", flush=True)
    width = max(map(len, makers), default=0)
    failed: dict[str, str] = {}
    started = time.perf_counter()
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(make): name for name, make in makers.items()}
        for done, future in enumerate(as_completed(futures), start=1):
            name = futures[future]
            try:
                said = future.result()
            except TurnwrightError as error:
                said = failed[name] = str(error)
            spent = time.perf_counter() - started
            left = spent / done * (len(makers) - done)
            print(
                f"{done}/{len(makers)}  {name:{width}}  {said}  ({spent / 60:.0f} min, {left / 60:.0f} left)",
                flush=True,
            )
    return failed
