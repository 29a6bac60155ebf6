"""An ASGI app served on loopback by a thread, for tests whose client is not asynchronous."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from starlette.types import ASGIApp

from turnwright.gateway.http.server import GatewayServer, bind


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Serve an app until the block ends; gives its base URL."""
    started: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        async with GatewayServer(app, bind(), grace_seconds=0.1) as server:
            started.set_result((server.url, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    url, loop, stop = started.result(30)
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
