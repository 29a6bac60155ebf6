"""The service's WebSocket: one session per socket, which ends with it however it ends.

{"type": "reset" | "step" | "state" | "mcp" | "close", "data": {...}}
    --> {"type": "observation" | "state" | "mcp" | "error", "data": {...}}
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from turnwright.launch.export import openenv
from turnwright.launch.export.access import check_origin, check_token
from turnwright.launch.export.choice import Choice
from turnwright.launch.export.errors import ServiceError
from turnwright.launch.export.http import parse_text
from turnwright.launch.export.mcp import answer
from turnwright.launch.export.sessions import Session, Sessions
from turnwright.launch.export.wire import state_of

POLICY_VIOLATION = 1008
"""The close code of a socket that is refused."""


def socket_endpoint(sessions: Sessions, *, token: str | None, choice: Choice) -> Callable[[WebSocket], Awaitable[None]]:
    """Return the endpoint; ``?session_id=`` joins a session that POST /mcp made."""

    async def endpoint(socket: WebSocket) -> None:
        try:
            check_origin(socket)
            check_token(socket, token)
        except ServiceError:
            await socket.close(POLICY_VIOLATION)
            return
        await socket.accept()
        joined = socket.query_params.get("session_id")
        try:
            session = sessions.find(joined) if joined else sessions.open()
        except ServiceError as error:
            await _send(socket, _failed(error))
            await socket.close()
            return
        try:
            await _serve(socket, session, choice)
        finally:
            if joined is None:
                await asyncio.shield(session.end("the socket was closed"))
        with suppress(RuntimeError, WebSocketDisconnect):
            await socket.close()

    return endpoint


async def _serve(socket: WebSocket, session: Session, choice: Choice) -> None:
    """Answer frames in order; one that is in work is given up when the client goes."""
    receiving = asyncio.create_task(socket.receive())
    try:
        while True:
            frame = await receiving
            if frame["type"] == "websocket.disconnect":
                return
            receiving = asyncio.create_task(socket.receive())
            working = asyncio.create_task(_answered(session, frame.get("text") or "", choice))
            try:
                await asyncio.wait([working, receiving], return_when=asyncio.FIRST_COMPLETED)
                if receiving.done() and receiving.result()["type"] == "websocket.disconnect":
                    return
                reply = await working
            finally:
                working.cancel()
                await asyncio.wait([working])
            if reply is None:
                return
            await _send(socket, reply)
    finally:
        receiving.cancel()
        await asyncio.wait([receiving])


async def _answered(session: Session, text: str, choice: Choice) -> dict[str, Any] | None:
    """Return the answer to a frame; None for the one that ends the session."""
    try:
        frame = parse_text(text)
        if not isinstance(frame, dict):
            raise ServiceError("VALIDATION_ERROR", "a frame must be an object with a type")
        data = frame.get("data", {})
        match frame.get("type"):
            case "reset":
                if not isinstance(data, dict):
                    raise ServiceError("VALIDATION_ERROR", "the data of a reset must be an object")
                return {"type": "observation", "data": await openenv.reset(session, data, choice)}
            case "step":
                return {"type": "observation", "data": await openenv.step(session, data)}
            case "state":
                return {"type": "state", "data": state_of(session)}
            case "mcp":
                return {"type": "mcp", "data": await answer(session, data) or {}}
            case "close":
                return None
            case unknown:
                kinds = "reset, step, state, mcp or close"
                raise ServiceError("UNKNOWN_TYPE", f"there is no frame of type {str(unknown)[:80]!r}: expected {kinds}")
    except ServiceError as error:
        return _failed(error)


def _failed(error: ServiceError) -> dict[str, Any]:
    return {"type": "error", "data": {"code": error.code, "message": str(error)}}


async def _send(socket: WebSocket, reply: dict[str, Any]) -> None:
    with suppress(RuntimeError, WebSocketDisconnect):
        await socket.send_json(reply)
