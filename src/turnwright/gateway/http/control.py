"""Control: opening a trajectory for a task (POST /control/rollouts) and reading its record (GET, with its id).

Needs a token with the scope "control", which no agent is given: the record holds rewards and outcome, and tasks hold
ground truth.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, get_args

from starlette.requests import Request
from starlette.responses import JSONResponse

from turnwright.core.task import Split, Task
from turnwright.core.trajectory import SampledTurn
from turnwright.gateway.dialects.fields import Fields
from turnwright.gateway.gateway import Gateway
from turnwright.gateway.http.body import parse_object, read_body
from turnwright.gateway.http.endpoint import caller_of
from turnwright.gateway.session import Session

NewSession = Callable[[Task], Awaitable[Session]]
"""Opens a trajectory for a task, with whatever sampling the server is run with."""


class Control:
    """Endpoints of whoever runs the gateway."""

    def __init__(self, gateway: Gateway, new_session: NewSession | None, *, max_body_bytes: int) -> None:
        """Serve the trajectories of a gateway.

        Args:
            gateway: Holds them.
            new_session: Opens one; None where the run alone opens trajectories.
            max_body_bytes: Longer bodies are refused.
        """
        self._gateway = gateway
        self._new_session = new_session
        self._max_body_bytes = max_body_bytes

    async def open_rollout(self, request: Request) -> JSONResponse:
        """Open a trajectory and return what its agent is to be told."""
        assert self._new_session is not None
        body = await read_body(request, self._max_body_bytes)
        self._gateway.credentials.identify(caller_of(request, body)).require("control")
        session = await self._new_session(_task(Fields(parse_object(body))))
        return JSONResponse(self._gateway.request_for(session).payload())

    async def show_rollout(self, request: Request) -> JSONResponse:
        """Return what was recorded so far."""
        session = self._gateway.authorize(caller_of(request, b""), "control", request.path_params["trajectory_id"])
        outcome = session.outcome()
        decode = self._gateway.renderer.decode
        return JSONResponse(
            {
                "trajectory_id": session.trajectory_id,
                "task_id": session.key.task_id,
                "attempt": session.key.attempt,
                "state": session.state,
                "turns": [_turn(turn, decode) for turn in session.trajectory().turns],
                "outcome": None if outcome is None else asdict(outcome),
            }
        )


def _task(fields: Fields) -> Task:
    split = fields.text("split") or "train"
    if split not in get_args(Split):
        raise fields.refuse("split", "'train', 'validation' or 'test'")
    known: Split = "validation" if split == "validation" else "test" if split == "test" else "train"
    data = fields.nested("data")
    return Task(
        id=fields.text("id") or f"control-{secrets.token_hex(4)}",
        prompt=fields.required_text("prompt"),
        data=data.value if data else {},
        split=known,
    )


def _turn(turn: SampledTurn, decode: Callable[[tuple[int, ...]], str]) -> dict[str, Any]:
    """Return a turn in ids and in text."""
    texts = {"prompt_text": decode(turn.prompt_token_ids), "sampled_text": decode(turn.sampled_token_ids)}
    return {**asdict(turn), **texts}
