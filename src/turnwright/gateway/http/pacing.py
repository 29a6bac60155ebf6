"""Pacing: a thousand requests at once are begun a few at a time, so that the event loop stays free for everything else.

    request --TakeTurns--> waits for its place --> app

Reading and rendering one request takes milliseconds of the loop's thread. Begun all at once, a thousand would hold up
every stream, every reply that is ready and every tool of an agent in this process for seconds; begun in the order of
their arrival, a few per turn of the loop, they are all answered just as soon.
"""

import asyncio
from collections import deque

from starlette.types import ASGIApp, Receive, Scope, Send

REQUESTS_PER_TURN = 4
"""Requests that may begin in one turn of the event loop."""


class Turnstile:
    """Lets so many through per turn of the event loop, in the order in which they came."""

    def __init__(self, per_turn: int) -> None:
        """Start with nobody waiting.

        Args:
            per_turn: At least 1.
        """
        self._per_turn = per_turn
        self._left = per_turn
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_turning = False

    async def enter(self) -> None:
        """Return when it is this caller's turn; at once when few have come."""
        loop = asyncio.get_running_loop()
        if not self._is_turning:
            self._is_turning = True
            loop.call_soon(self._turn, loop)
        if self._left:
            self._left -= 1
            return
        place = loop.create_future()
        self._waiting.append(place)
        await place

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the next ones through; runs once per turn of the loop for as long as anybody comes."""
        self._is_turning = bool(self._waiting)
        self._left = self._per_turn
        while self._left and self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                self._left -= 1
        if self._is_turning:
            loop.call_soon(self._turn, loop)


class TakeTurns:
    """ASGI middleware: begins requests that carry a body in turns. Others are cheap, and ask how the server is."""

    def __init__(self, app: ASGIApp, *, per_turn: int = REQUESTS_PER_TURN) -> None:
        """Wrap ``app``."""
        self._app = app
        self._turnstile = Turnstile(per_turn)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] == "POST":
            await self._turnstile.enter()
        await self._app(scope, receive, send)
