"""An environment as an MCP server over streamable HTTP: one MCP session is one episode.

POST /mcp initialize   --query or headers choose the task--> session, in the header Mcp-Session-Id
POST /mcp anything     --Mcp-Session-Id--> answer, as JSON
DELETE /mcp            --Mcp-Session-Id--> the episode is graded and written
"""

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from turnwright.launch.export.choice import FIELDS, Choice, read_choice
from turnwright.launch.export.http import guarded, read_object
from turnwright.launch.export.mcp import INVALID_REQUEST, METHOD_NOT_FOUND, answer, failure
from turnwright.launch.export.sessions import Sessions

SESSION_HEADER = "mcp-session-id"
CHOICE_HEADER = "x-turnwright-"
"""Beginning of the headers that choose a task: X-Turnwright-Task-Id, -Split, -Index, -Seed, -Episode-Id."""


def mcp_app(sessions: Sessions, *, token: str | None, choice: Choice) -> Starlette:
    """Return the app.

    Args:
        sessions: Where episodes are.
        token: What clients must send; None = nothing.
        choice: What a client that chooses nothing gets.
    """

    async def post(request: Request) -> Response:
        message = await read_object(request)
        number, method = message.get("id"), message.get("method")
        session_id = request.headers.get(SESSION_HEADER)
        if method == "initialize" and session_id is None:
            session = sessions.open()
            try:
                await session.reset(chosen_by(request, choice))
            except BaseException:
                await session.end("it could not begin")
                raise
            return JSONResponse(await answer(session, message), headers={SESSION_HEADER: session.id})
        if session_id is None:
            # Clients of protocols without sessions probe first, and read this as "speak an older one".
            code = METHOD_NOT_FOUND if method == "server/discover" else INVALID_REQUEST
            words = "this server keeps a session for each episode: begin with 'initialize'"
            return JSONResponse(failure(number, code, words), status_code=400)
        reply = await answer(sessions.find(session_id), message)
        return Response(status_code=202) if reply is None else JSONResponse(reply)

    async def delete(request: Request) -> Response:
        await sessions.find(request.headers.get(SESSION_HEADER, "")).finish()
        return Response(status_code=204)

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "healthy"})

    app = Starlette(
        routes=[
            Route("/mcp", guarded(post, token), methods=["POST"]),
            Route("/mcp", guarded(delete, token), methods=["DELETE"]),
            Route("/health", health, methods=["GET"]),
        ]
    )
    app.router.redirect_slashes = False
    return app


def chosen_by(request: Request, default: Choice) -> Choice:
    """Return the episode that the query or the headers of a request ask for; raises ServiceError."""
    given: dict[str, Any] = {}
    for name in FIELDS:
        value = request.query_params.get(name, request.headers.get(CHOICE_HEADER + name.replace("_", "-")))
        if value is not None:
            given[name] = value
    return read_choice(given, default)
