"""A small HTTP server around a rollout handler, for agents without a web framework.

    POST /rollout, POST /invocations    a rollout request; answered {"status": "accepted"} while the handler starts
    GET /health, GET /ping              {"status": "healthy"}

Each rollout runs in a thread of its own; an async handler gets its own event loop there.
"""

import json
import logging
import socketserver
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from typing import Any, cast

from turnwright.client.errors import RolloutRequestError
from turnwright.client.feedback import described
from turnwright.client.handler import run_handler
from turnwright.client.request import Rollout

_log = logging.getLogger(__name__)
_ROLLOUT_PATHS = ("/rollout", "/invocations")
_HEALTH_PATHS = ("/health", "/ping")
_MOST_BODY_BYTES = 16 * 2**20


class RolloutServer(socketserver.ThreadingTCPServer):
    """The server; listens from its creation, answers while ``serve_forever`` runs.

    Example::

        with RolloutServer(solve, port=0) as server:
            threading.Thread(target=server.serve_forever).start()
            print(server.url)
            server.shutdown()
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128  # a run launches a whole batch at once

    def __init__(
        self,
        handler: Callable[[Any], Any],
        *,
        host: str = "127.0.0.1",
        port: int = 8080,
        wait: bool = False,
        max_rollouts: int = 128,
    ) -> None:
        """Listen.

        Args:
            handler: What ``rollout_handler`` returns, or any function of the payload that reports for itself.
            host: Address to listen on; "0.0.0.0" inside a container.
            port: 0 = a free one, see ``url``.
            wait: Answer when the handler has returned, or with 500 when it raised, instead of at once.
            max_rollouts: Rollouts in work at a time; more that are accepted wait for their turn.
        """
        super().__init__((host, port), _RolloutRequestHandler)
        self.handler = handler
        self.wait = wait
        self.workers = ThreadPoolExecutor(max_rollouts, thread_name_prefix="rollout")

    @property
    def url(self) -> str:
        """Where the server listens."""
        host, port = self.server_address[:2]
        return f"http://{host}:{port}"

    def run(self, payload: Mapping[str, Any]) -> Exception | None:
        """Run the handler; what it raises was reported already, and is logged and returned."""
        try:
            run_handler(self.handler, payload)
        except Exception as error:
            _log.exception("rollout failed")
            return error
        return None

    def server_close(self) -> None:
        """Stop listening and wait for the rollouts in work."""
        super().server_close()
        self.workers.shutdown()


def serve(
    handler: Callable[[Any], Any],
    port: int = 8080,
    *,
    host: str = "127.0.0.1",
    wait: bool = False,
    max_rollouts: int = 128,
) -> None:
    """Serve rollout requests until interrupted, then wait for the rollouts in work; arguments as in RolloutServer."""
    with RolloutServer(handler, host=host, port=port, wait=wait, max_rollouts=max_rollouts) as server:
        _log.info("serving rollouts at %s", server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            _log.info("interrupted; waiting for the rollouts in work")


class _RolloutRequestHandler(BaseHTTPRequestHandler):
    timeout = 60  # of a client that connects and says nothing

    def do_GET(self) -> None:
        if self.path.partition("?")[0] in _HEALTH_PATHS:
            self._answer(200, {"status": "healthy"})
        else:
            self._answer(404, {"error": f"no such path: {self.path}; GET one of {', '.join(_HEALTH_PATHS)}"})

    def do_POST(self) -> None:
        if self.path.partition("?")[0] not in _ROLLOUT_PATHS:
            self._answer(404, {"error": f"no such path: {self.path}; POST to one of {', '.join(_ROLLOUT_PATHS)}"})
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self._answer(411, {"error": "a rollout request needs Content-Length"})
            return
        if int(length) > _MOST_BODY_BYTES:
            self._answer(413, {"error": f"body has {length} bytes, at most {_MOST_BODY_BYTES} are read"})
            return
        body = self.rfile.read(int(length))
        try:
            payload = Rollout.from_payload(body).payload
        except RolloutRequestError as wrong:
            self._answer(400, {"error": str(wrong)})
            return
        self._start(payload)

    def _start(self, payload: Mapping[str, Any]) -> None:
        server = cast(RolloutServer, self.server)
        running = server.workers.submit(server.run, payload)
        if not server.wait:
            self._answer(200, {"status": "accepted"})
        elif (error := running.result()) is not None:
            self._answer(500, {"status": "error", "error": described(error)})
        else:
            self._answer(200, {"status": "completed"})

    def _answer(self, status: int, content: dict[str, str]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log a request where the program's own log goes, instead of stderr."""
        _log.debug(format, *args)
