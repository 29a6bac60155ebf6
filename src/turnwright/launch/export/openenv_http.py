"""The service's HTTP routes.

    POST /reset {seed, task_id | split, index, episode_id}    GET /state?episode_id=     GET /metadata  /schema  /health
    POST /step {action, episode_id}                           POST /close {episode_id}   POST /<env>/tasks and the like
    POST /mcp/<session_id>                                    the agent's side, for any MCP client
    POST /mcp                                                 the same, for OpenEnv's tool client

A session made by POST /reset is found again by its ``episode_id``, which may be left out while it is the only one under
way.
"""

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from turnwright.launch.export import openenv
from turnwright.launch.export.access import check_origin, check_token
from turnwright.launch.export.choice import Choice
from turnwright.launch.export.errors import ServiceError
from turnwright.launch.export.http import Endpoint, guarded, read_object
from turnwright.launch.export.mcp import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR, answer, failure
from turnwright.launch.export.openenv_socket import socket_endpoint
from turnwright.launch.export.sessions import Session, Sessions
from turnwright.launch.export.wire import schemas, state_of

SERVER_ERROR = -32000
"""JSON-RPC's code for what OpenEnv's clients read as a refused session."""


def openenv_app(name: str, sessions: Sessions, *, token: str | None, choice: Choice) -> Starlette:
    """Return the app.

    Args:
        name: The environment's, as routes spell it.
        sessions: Where episodes are.
        token: What trainers must send; None = nothing.
        choice: What a client that chooses nothing gets.
    """
    control = _Control(sessions, choice)
    tasks = openenv.TaskList(name, sessions)

    def get(path: str, value: Any) -> Route:
        async def endpoint(request: Request) -> Response:
            return JSONResponse(value(request))

        return Route(path, guarded(endpoint, token), methods=["GET"])

    def post(path: str, endpoint: Endpoint) -> Route:
        return Route(path, guarded(endpoint, token), methods=["POST"])

    def listed(path: str, value: Any) -> Route:
        async def endpoint(request: Request) -> Response:
            return JSONResponse(value(request.path_params["name"], await read_object(request)))

        return post(path, endpoint)

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "healthy"})

    async def no_socket(request: Request) -> Response:
        return JSONResponse(
            {
                "error": {
                    "code": "UNKNOWN_TYPE",
                    "message": "/ws is a WebSocket: pip install websockets to serve it",
                }
            },
            status_code=501,
        )

    routes: list[BaseRoute] = [
        Route("/health", health, methods=["GET"]),
        post("/reset", control.reset),
        post("/step", control.step),
        get("/state", control.state),
        post("/close", control.close),
        get("/metadata", lambda request: openenv.metadata(name, sessions)),
        get("/schema", lambda request: schemas()),
        get("/list_environments", lambda request: [name]),
        get("/{name:path}/splits", lambda request: tasks.splits(request.path_params["name"])),
        listed("/{name:path}/tasks", lambda asked, body: {"tasks": tasks.tasks(asked, body), "env_name": name}),
        listed("/{name:path}/num_tasks", lambda asked, body: {"num_tasks": len(tasks.tasks(asked, body))}),
        listed("/{name:path}/task_range", lambda asked, body: {"tasks": tasks.tasks(asked, body)}),
        listed("/{name:path}/task", lambda asked, body: {"task": tasks.task(asked, body)}),
        Route("/mcp", _tool_client(sessions, token), methods=["POST"]),
        Route("/mcp/{session_id}", _agent_side(sessions), methods=["POST", "DELETE"]),
        WebSocketRoute("/ws", socket_endpoint(sessions, token=token, choice=choice)),
        Route("/ws", no_socket, methods=["GET"]),
    ]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    return app


class _Control:
    """The trainer's requests."""

    def __init__(self, sessions: Sessions, choice: Choice) -> None:
        self._sessions = sessions
        self._choice = choice
        self._by_episode: dict[str, Session] = {}

    async def reset(self, request: Request) -> Response:
        """Begin an episode, in the session of its id or in one of its own."""
        body = await read_object(request)
        session = self._live().get(body.get("episode_id") or "")
        fresh = session is None
        session = session or self._room()
        try:
            answered = await openenv.reset(session, body, self._choice)
        except BaseException:
            if fresh:
                await session.end("it could not begin")
            raise
        name = str(session.choice.episode_id)
        self._by_episode.pop(name, None)
        self._by_episode[name] = session
        return JSONResponse(answered)

    async def step(self, request: Request) -> Response:
        """Take an action."""
        body = await read_object(request)
        if "action" not in body:
            raise ServiceError("VALIDATION_ERROR", "the body has no 'action'")
        return JSONResponse(await openenv.step(self._find(body.get("episode_id")), body["action"]))

    def state(self, request: Request) -> dict[str, Any]:
        """Return where an episode is."""
        return state_of(self._find(request.query_params.get("episode_id")))

    async def close(self, request: Request) -> Response:
        """End a session."""
        session = self._find((await read_object(request)).get("episode_id"))
        await session.end("the client closed it")
        return JSONResponse({"episode_id": session.choice.episode_id, "closed": True})

    def _live(self) -> dict[str, Session]:
        self._by_episode = {name: one for name, one in self._by_episode.items() if not one.ended}
        return self._by_episode

    def _find(self, episode_id: Any) -> Session:
        live = self._live()
        if episode_id is None:
            under_way = [one for one in live.values() if not one.over] or list(live.values())[-1:]
            if len(under_way) != 1:
                raise ServiceError("VALIDATION_ERROR", f"say which episode_id: {len(under_way)} episodes are open")
            return under_way[0]
        if episode_id not in live:
            raise ServiceError("SESSION_ERROR", f"there is no episode {str(episode_id)[:80]!r}: reset first")
        return live[episode_id]

    def _room(self) -> Session:
        """Open a session, in the place of one whose episode is over where there is no other."""
        try:
            return self._sessions.open()
        except ServiceError:
            over = next((one for one in self._live().values() if one.over and not one.turn.locked()), None)
            if over is None:
                raise
            self._sessions.forget(over)
            over.ended = True
            return self._sessions.open()


def _agent_side(sessions: Sessions) -> Endpoint:
    """Return the endpoint whose URL is the agent's pass to one session; coming back does not begin it again."""

    async def endpoint(request: Request) -> Response:
        session = sessions.find(request.path_params["session_id"])
        if request.method == "DELETE":
            await session.leave()
            return Response(status_code=204)
        reply = await answer(session, await read_object(request))
        return Response(status_code=202) if reply is None else JSONResponse(reply)

    return guarded(endpoint, None)


def _tool_client(sessions: Sessions, token: str | None) -> Endpoint:
    """Return the endpoint of OpenEnv's tool client: JSON-RPC with ``session_id`` among its params."""

    async def endpoint(request: Request) -> Response:
        try:
            check_origin(request)
            body = await read_object(request)
        except ServiceError as error:
            return JSONResponse(failure(None, PARSE_ERROR, str(error)))
        number, method, params = body.get("id"), body.get("method"), body.get("params") or {}
        if not isinstance(params, dict):
            return JSONResponse(failure(number, INVALID_PARAMS, "params must be an object"))
        session_id = str(params.get("session_id", ""))
        try:
            if method == "openenv/session/create":
                check_token(request, token)
                reply = {"jsonrpc": "2.0", "id": number, "result": {"session_id": sessions.open().id}}
            elif method == "openenv/session/close":
                await sessions.find(session_id).finish()
                reply = {"jsonrpc": "2.0", "id": number, "result": {"session_id": session_id, "closed": True}}
            else:
                reply = await answer(sessions.find(session_id), body)
        except ServiceError as error:
            code = SERVER_ERROR if error.code == "CAPACITY_REACHED" else INVALID_REQUEST
            reply = failure(number, code, f"{error} (code {error.code})")
        return Response(status_code=202) if reply is None else JSONResponse(reply)

    return endpoint
