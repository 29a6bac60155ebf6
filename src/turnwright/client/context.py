"""The current rollout, for code deep inside an agent that was not handed one.

A handler gets its Rollout as an argument, and whatever is made from it (a client, a model) keeps that identity in
every thread: pass it on where you can. Where you cannot, ``current_rollout()`` finds it. It is a context variable, so
concurrent rollouts never see each other's, and asyncio tasks inherit it. Threads do not inherit it by themselves:

    with RolloutExecutor(max_workers=4) as pool:       # instead of ThreadPoolExecutor
        answers = list(pool.map(search, queries))      # search() may call current_rollout()
    threading.Thread(target=with_rollout(search), args=("shoes",)).start()
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import ParamSpec, TypeVar

from turnwright.client.errors import NoRolloutError
from turnwright.client.request import Rollout

P = ParamSpec("P")
R = TypeVar("R")

_current: ContextVar[Rollout] = ContextVar("turnwright_current_rollout")


def current_rollout() -> Rollout:
    """Return the rollout this code runs for.

    Raises:
        NoRolloutError: There is none here; a call to the policy would be without identity, so it is not made.
    """
    try:
        return _current.get()
    except LookupError:
        raise NoRolloutError(
            f"no rollout is current in thread {threading.current_thread().name!r}. In a thread started inside a "
            "handler, use RolloutExecutor in place of ThreadPoolExecutor, start it with with_rollout(function), or "
            "pass the handler's rollout on; outside a handler, use "
            "'with rollout_context(Rollout.from_payload(payload)):'"
        ) from None


@contextmanager
def rollout_context(rollout: Rollout) -> Iterator[Rollout]:
    """Make a rollout current for the body of a with statement, then the one before it again."""
    token = _current.set(rollout)
    try:
        yield rollout
    finally:
        _current.reset(token)


def with_rollout(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function bound to the current rollout and the rest of this context, for use in any thread.

    Raises:
        NoRolloutError: There is no current rollout to bind it to.
    """
    current_rollout()
    context = copy_context()

    def bound(*args: P.args, **kwargs: P.kwargs) -> R:
        # A context can be entered once at a time; threads that share the function each need a copy.
        return context.copy().run(function, *args, **kwargs)

    return bound


class RolloutExecutor(ThreadPoolExecutor):
    """A ThreadPoolExecutor whose calls see the current rollout of the code that submitted them.

    It also serves ``loop.run_in_executor``, and may be shared by concurrent rollouts.
    """

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Schedule a call in a copy of the caller's context."""
        return super().submit(copy_context().run, fn, *args, **kwargs)
