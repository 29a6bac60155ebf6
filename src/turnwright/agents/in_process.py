"""A user's function in this process: a name goes in, the function comes out, and is called without stopping the run.

A plain function runs in a thread of its own, an async one in a task on the event loop; both see a copy of the caller's
context variables, so what one attempt sets no other sees. Whatever the function raises, ``SystemExit`` included, comes
out as an AgentError.

A thread cannot be ended from outside. A cancelled call leaves its thread to end by itself, which it does at its next
call to the gateway: an ended trajectory answers none. The threads are daemons, so none keeps the process from exiting.
"""

import asyncio
import contextvars
import inspect
import logging
import threading
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from turnwright.agents.base import DETAIL_CHARACTERS, AgentError
from turnwright.config.place import functions_of, import_place, require_parameters
from turnwright.core.errors import EnvironmentLoadError

log = logging.getLogger(__name__)

FAREWELL_SECONDS = 2.0
"""How long a cancelled call may take to clean up."""
TRACEBACK_LINES = 8


def load_callable(name: str, *parameters: str) -> Callable[..., Any]:
    """Return the function called ``package.module:function`` or ``path/file.py:function``.

    Raises:
        EnvironmentLoadError: there is none of that name, or it cannot be called with ``parameters``.
    """
    what = f"agent {name!r}"
    place, colon, attribute = name.rpartition(":")
    if not colon or not place or not attribute:
        raise EnvironmentLoadError(f"unknown {what}: expected 'package.module:function' or 'path/file.py:function'")
    module = import_place(place, what)
    found = getattr(module, attribute, None)
    if not callable(found):
        raise EnvironmentLoadError(f"{what}: {place} has no function {attribute!r}; it has: {functions_of(module)}")
    require_parameters(found, what, *parameters)
    return found


class Calls:
    """The calls of one function that are in work."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        """Take the function and its name in errors."""
        self._function = function
        self._name = name
        self._working: set[asyncio.Future[Any]] = set()

    async def call(self, *arguments: object) -> Any:
        """Call the function and return what it returns, awaited if need be.

        Raises:
            AgentError: the function raised.
        """
        if _is_async(self._function):
            return await self._wait(asyncio.create_task(self._run(self._function, arguments), name=self._name))
        value = await self._wait(self._start_thread(arguments))
        if inspect.isawaitable(value):
            return await self._wait(asyncio.create_task(self._run(lambda: value, ()), name=self._name))
        return value

    async def close(self) -> None:
        """Cancel what can be cancelled and wait a moment for the rest."""
        for working in self._working:
            if isinstance(working, asyncio.Task):
                working.cancel()
        if self._working:
            await asyncio.wait(tuple(self._working), timeout=FAREWELL_SECONDS)
        if self._working:
            log.warning(
                "%s: %d calls go on in threads of their own, which nothing can end", self._name, len(self._working)
            )

    async def _wait(self, working: "asyncio.Future[Any]") -> Any:
        self._working.add(working)
        working.add_done_callback(self._forget)
        try:
            await asyncio.wait({working})
        except asyncio.CancelledError:
            if isinstance(working, asyncio.Task):
                working.cancel()
                await asyncio.wait({working}, timeout=FAREWELL_SECONDS)
            raise
        if working.cancelled():
            raise AgentError("agent_error", f"{self._name} cancelled its own task")
        return working.result()

    def _forget(self, working: "asyncio.Future[Any]") -> None:
        self._working.discard(working)
        if not working.cancelled():
            working.exception()  # nobody may be left to ask for it

    async def _run(self, function: Callable[..., Awaitable[Any]], arguments: tuple[object, ...]) -> Any:
        try:
            return await function(*arguments)
        except (Exception, SystemExit) as error:
            raise self._broken(error) from error

    def _start_thread(self, arguments: tuple[object, ...]) -> "asyncio.Future[Any]":
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()

        def settle(settling: Callable[[Any], None], outcome: object) -> None:
            if not ended.done():
                settling(outcome)

        def run() -> None:
            try:
                settling, outcome = ended.set_result, context.run(self._function, *arguments)
            except BaseException as error:
                settling, outcome = ended.set_exception, self._broken(error)
                outcome.__cause__ = error
            with suppress(RuntimeError):  # the loop is closed: the run is over
                loop.call_soon_threadsafe(settle, settling, outcome)

        threading.Thread(target=run, name=self._name, daemon=True).start()
        return ended

    def _broken(self, error: BaseException) -> AgentError:
        lines = "".join(traceback.format_exception(error)).rstrip().splitlines()[-TRACEBACK_LINES:]
        return AgentError("agent_error", f"{self._name} raised:\n" + "\n".join(lines)[-DETAIL_CHARACTERS:])


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
