"""The learner's thread: passes run off the event loop, on as many cores as the run gives the learner."""

from concurrent.futures import ThreadPoolExecutor

import torch


def learner_executor(num_threads: int | None) -> ThreadPoolExecutor:
    """Return an executor of one thread whose torch operations use ``num_threads`` cores; None = all."""

    def pin() -> None:
        if num_threads is not None:
            torch.set_num_threads(num_threads)

    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="learner", initializer=pin)
