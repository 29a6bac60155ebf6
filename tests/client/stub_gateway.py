"""A gateway of a few lines: records every call, and answers what a test put in line for its path, or 200."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import parse_qsl

JOB_ARN = "arn:aws:sagemaker:local:000000000000:job/AgentRFT/demo"
SEALED = json.dumps({"message": "Cannot transition trajectory 't-1' from ready to ready"})


@dataclass(frozen=True, kw_only=True)
class Reply:
    status: int = 200
    body: str = "{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: bool = False
    """Close the connection instead of answering."""


@dataclass(frozen=True, kw_only=True)
class Received:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: Any


class StubGateway:
    def __init__(self) -> None:
        self.received: list[Received] = []
        self.replies: dict[str, list[Reply]] = {}
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.gateway = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def payload(self, trajectory_id: str = "t-1") -> dict[str, Any]:
        """Return a rollout request that leads here."""
        return {
            "prompt": "order: O3",
            "metadata": {
                "job_arn": JOB_ARN,
                "trajectory_id": trajectory_id,
                "endpoint": self.url,
                "api_key": f"key-of-{trajectory_id}",
            },
            "inferenceParams": {"temperature": 0.5, "topP": 0.9, "maxTokens": 64},
        }

    def answers(self, path: str, *replies: Reply) -> None:
        """Put answers in line for a path."""
        self.replies.setdefault(path, []).extend(replies)

    def bodies(self, path: str) -> list[Any]:
        return [call.body for call in self.received if call.path == path]

    def reports(self) -> list[tuple[str, Any]]:
        """Return (path, body without ids and tokens) of every report received."""
        return [
            (call.path, {key: value for key, value in call.body.items() if key not in ("TrajectoryId", "ClientToken")})
            for call in self.received
            if call.path in ("/complete-rollout", "/update-reward")
        ]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    gateway: StubGateway
    daemon_threads = True
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        gateway = cast(_Server, self.server).gateway
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = json.loads(content) if content else None
        gateway.received.append(
            Received(method=self.command, path=path, query=dict(parse_qsl(query)), headers=headers, body=body)
        )
        waiting = gateway.replies.get(path)
        reply = waiting.pop(0) if waiting else Reply(body=_model_reply(path, headers))
        if reply.drop:
            return
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body.encode())))
        self.end_headers()
        self.wfile.write(reply.body.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


def _model_reply(path: str, headers: Mapping[str, str]) -> str:
    """Answer a model call with the trajectory id that came with it."""
    said = headers.get("x-amzn-sagemaker-trajectory-id", "nobody")
    match path:
        case "/v1/chat/completions":
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            content = {"id": "c", "object": "chat.completion", "created": 0, "model": "default", "choices": [choice]}
            return json.dumps({**content, "usage": usage})
        case "/v1/messages":
            content = {"id": "m", "type": "message", "role": "assistant", "model": "default", "stop_reason": "end_turn"}
            usage = {"input_tokens": 1, "output_tokens": 1}
            return json.dumps({**content, "content": [{"type": "text", "text": said}], "usage": usage})
        case _:
            return "{}"
