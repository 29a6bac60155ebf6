"""The app: every route of the server, and what is wrapped around all of them.

request --MeasureRequests--> TakeTurns --> AnswerErrors --> router
        --> serve_call (dialects) | Runtime | QueueRoutes | Control

The rollout gateway has all of it; `turnwright serve`, which has no trajectories, the dialects and the numbers only.
"""

from collections.abc import Awaitable, Callable, Mapping

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from turnwright.agents.queue import RolloutQueue
from turnwright.gateway.calls import Desk
from turnwright.gateway.dialects.anthropic import AnthropicMessages, read_conversation
from turnwright.gateway.dialects.base import Dialect
from turnwright.gateway.dialects.fields import Fields
from turnwright.gateway.dialects.openai_chat import OpenAIChat
from turnwright.gateway.dialects.openai_responses import OpenAIResponses
from turnwright.gateway.gateway import Gateway
from turnwright.gateway.http.body import MAX_BODY_BYTES, parse_object, read_body
from turnwright.gateway.http.control import Control, NewSession
from turnwright.gateway.http.endpoint import caller_of, serve_call
from turnwright.gateway.http.errors import AnswerErrors, answer_http_exception
from turnwright.gateway.http.metrics import CONTENT_TYPE, MeasureRequests, RequestMetrics, render
from turnwright.gateway.http.openapi import document
from turnwright.gateway.http.pacing import TakeTurns
from turnwright.gateway.http.queue import QueueRoutes
from turnwright.gateway.http.runtime import Runtime, StreamedChat
from turnwright.rundir.recovery import RecoveredTrajectory

Endpoint = Callable[[Request], Awaitable[Response]]

Health = Callable[[], str]
"""Says why calls cannot be served; an empty text when they can."""


def build_app(
    desk: Desk,
    *,
    gateway: Gateway | None = None,
    queue: RolloutQueue | None = None,
    control: bool = False,
    new_session: NewSession | None = None,
    recovered: Mapping[str, RecoveredTrajectory] | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
    health: Health = lambda: "",
) -> Starlette:
    """Return the app of a server.

    Args:
        desk: Answers model calls.
        gateway: The desk itself where it keeps trajectories; None = a served checkpoint.
        queue: Rollouts for workers to fetch.
        control: Show what was recorded, to holders of a control token.
        new_session: With control, open trajectories.
        recovered: With control, trajectories of an earlier process to show.
        max_body_bytes: Longer bodies are refused with a 413.
        health: Asked at each GET /health.
    """
    requests = RequestMetrics()
    routes = [*_calls(desk, max_body_bytes), *_numbers(desk, queue, requests, health)]
    if gateway is not None:
        routes += _runtime(gateway, max_body_bytes)
        if queue is not None:
            routes += _queue(queue, gateway)
        if control:
            routes += _control(gateway, new_session, max_body_bytes, recovered or {})
    paths = {"/openapi.json", *(route.path for route in routes)}
    routes.append(_get("/openapi.json", lambda: JSONResponse(document(paths))))
    app = Starlette(
        routes=routes,
        middleware=[Middleware(MeasureRequests, metrics=requests), Middleware(TakeTurns), Middleware(AnswerErrors)],
        exception_handlers={HTTPException: answer_http_exception},
    )
    # A redirect would make clients repeat a call elsewhere; an unknown path is a 404.
    app.router.redirect_slashes = False
    return app


def _calls(desk: Desk, max_body_bytes: int) -> list[Route]:
    """Return the routes that ask the policy, with the identity in headers and in the path."""

    async def count_tokens(request: Request) -> JSONResponse:
        body = await read_body(request, max_body_bytes)
        desk.line(caller_of(request, body))
        messages, tools, _ = read_conversation(Fields(parse_object(body)))
        return JSONResponse({"input_tokens": desk.count_prompt_tokens(messages, tools)})

    routes: list[Route] = []
    for prefix in ("", "/t/{trajectory_id}"):
        routes += [
            _post(f"{prefix}/v1/chat/completions", _dialect(desk, OpenAIChat(), max_body_bytes)),
            _post(f"{prefix}/v1/responses", _dialect(desk, OpenAIResponses(), max_body_bytes)),
            _post(f"{prefix}/v1/messages", _dialect(desk, AnthropicMessages(), max_body_bytes)),
            _post(f"{prefix}/v1/messages/count_tokens", count_tokens),
            _get(f"{prefix}/v1/models", lambda: JSONResponse(_models(desk.model_names))),
        ]
    return routes


def _numbers(desk: Desk, queue: RolloutQueue | None, requests: RequestMetrics, health: Health) -> list[Route]:
    """Return the routes that say how the server is."""

    def healthy() -> Response:
        trouble = health()
        status = {"status": "unhealthy", "detail": trouble} if trouble else {"status": "healthy"}
        return JSONResponse(status, status_code=503 if trouble else 200)

    def metrics() -> Response:
        gauges = {**desk.gauges(), **(queue.gauges() if queue else {})}
        return PlainTextResponse(render(gauges, requests), media_type=CONTENT_TYPE)

    return [
        _get("/health", healthy),
        _get("/ping", lambda: JSONResponse({"status": "Healthy"})),
        _get("/metrics", metrics),
    ]


def _runtime(gateway: Gateway, max_body_bytes: int) -> list[Route]:
    runtime = Runtime(gateway, max_body_bytes=max_body_bytes)
    return [
        _post("/sample", _dialect(gateway, OpenAIChat(), max_body_bytes)),
        _post("/sample-with-response-stream", _dialect(gateway, StreamedChat(), max_body_bytes)),
        _post("/complete-rollout", runtime.complete_rollout),
        _post("/update-reward", runtime.update_reward),
    ]


def _queue(queue: RolloutQueue, gateway: Gateway) -> list[Route]:
    workers = QueueRoutes(queue, gateway.credentials)
    return [
        Route("/rollouts/next", workers.next, methods=["GET"]),
        _post("/rollouts/{trajectory_id}/heartbeat", workers.heartbeat),
    ]


def _control(
    gateway: Gateway,
    new_session: NewSession | None,
    max_body_bytes: int,
    recovered: Mapping[str, RecoveredTrajectory],
) -> list[Route]:
    shown = Control(gateway, new_session, max_body_bytes=max_body_bytes, recovered=recovered)
    routes: list[Route] = [Route("/control/rollouts/{trajectory_id}", shown.show_rollout, methods=["GET"])]
    return routes if new_session is None else [*routes, _post("/control/rollouts", shown.open_rollout)]


def _post(path: str, endpoint: Endpoint) -> Route:
    return Route(path, endpoint, methods=["POST"])


def _get(path: str, answer: Callable[[], Response]) -> Route:
    async def endpoint(request: Request) -> Response:
        return answer()

    return Route(path, endpoint, methods=["GET"])


def _dialect(desk: Desk, dialect: Dialect, max_body_bytes: int) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return await serve_call(request, desk, dialect, max_body_bytes=max_body_bytes)

    return endpoint


def _models(names: tuple[str, ...]) -> dict[str, object]:
    """Return the list in a body that OpenAI's and Anthropic's clients both read."""
    data = [
        {
            "id": name,
            "object": "model",
            "created": 0,
            "owned_by": "turnwright",
            "type": "model",
            "display_name": name,
            "created_at": "1970-01-01T00:00:00Z",
        }
        for name in names
    ]
    return {"object": "list", "data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]}
