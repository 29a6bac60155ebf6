"""Work that would hold the event loop up, done on a thread to its end."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

Result = TypeVar("Result")


async def off_the_loop(work: Callable[[], Result], executor: Executor | None = None) -> Result:
    """Do some work on a thread and return its result; when cancelled, wait for its end first.

    A thread cannot be stopped: whoever is told that the work is cancelled may rely on it being over.

    Args:
        work: What to do.
        executor: Where; None = on any thread.
    """
    doing = asyncio.get_running_loop().run_in_executor(executor, work)
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait({doing})
        raise
