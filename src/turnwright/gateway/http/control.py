"""Control: opening a trajectory for a task (POST /control/rollouts) and reading its record (GET, with its id).

Needs a token with the scope "control", which no agent is given: the record holds rewards and outcome, and tasks hold
ground truth.
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from turnwright.core.episode import EpisodeKey
from turnwright.core.errors import DatasetError
from turnwright.core.outcome import Outcome
from turnwright.core.task import Split, Task
from turnwright.core.trajectory import SampledTurn, Trajectory
from turnwright.gateway.dialects.fields import Fields
from turnwright.gateway.gateway import Gateway
from turnwright.gateway.http.body import parse_object, read_body
from turnwright.gateway.http.endpoint import caller_of
from turnwright.gateway.refusals import Refusal
from turnwright.gateway.session import Session
from turnwright.rundir.recovery import RecoveredTrajectory

NewSession = Callable[[Task], Awaitable[Session]]
"""Opens a trajectory for a task, with whatever sampling the server is run with."""


class Control:
    """Endpoints of whoever runs the gateway."""

    def __init__(
        self,
        gateway: Gateway,
        new_session: NewSession | None,
        *,
        max_body_bytes: int,
        recovered: Mapping[str, RecoveredTrajectory],
    ) -> None:
        """Serve the trajectories of a gateway.

        Args:
            gateway: Holds them.
            new_session: Opens one; None where the run alone opens trajectories.
            max_body_bytes: Longer bodies are refused.
            recovered: Trajectories of an earlier process, by their ids; they are shown, and are over.
        """
        self._recovered = recovered
        self._gateway = gateway
        self._new_session = new_session
        self._max_body_bytes = max_body_bytes

    async def open_rollout(self, request: Request) -> JSONResponse:
        """Open a trajectory and return what its agent is to be told."""
        assert self._new_session is not None
        body = await read_body(request, self._max_body_bytes)
        self._gateway.credentials.identify(caller_of(request, body)).require("control")
        task = _task(Fields(parse_object(body)))
        try:
            session = await self._new_session(task)
        except DatasetError as error:
            raise Refusal("validation", str(error), field="data") from error
        return JSONResponse(self._gateway.request_for(session).payload())

    async def show_rollout(self, request: Request) -> JSONResponse:
        """Return what was recorded so far."""
        trajectory_id, caller = request.path_params["trajectory_id"], caller_of(request, b"")
        earlier = self._recovered.get(trajectory_id)
        if earlier is not None:
            self._gateway.credentials.identify(caller).require("control", trajectory_id)
            return self._shown(trajectory_id, earlier.opened.key, earlier.state, earlier.trajectory, earlier.outcome)
        session = self._gateway.authorize(caller, "control", trajectory_id)
        return self._shown(trajectory_id, session.key, session.state, session.trajectory(), session.outcome())

    def _shown(
        self, trajectory_id: str, key: EpisodeKey, state: str, trajectory: Trajectory, outcome: Outcome | None
    ) -> JSONResponse:
        decode = self._gateway.renderer.decode
        return JSONResponse(
            {
                "trajectory_id": trajectory_id,
                "task_id": key.task_id,
                "attempt": key.attempt,
                "state": state,
                "turns": [_turn(turn, decode) for turn in trajectory.turns],
                "outcome": None if outcome is None else asdict(outcome),
            }
        )


def _task(fields: Fields) -> Task:
    data = fields.nested("data")
    return Task(
        id=f"control-{secrets.token_hex(4)}" if fields.get("id") is None else fields.required_text("id"),
        prompt=fields.required_text("prompt"),
        data=data.value if data else {},
        split=_split(fields),
    )


def _split(fields: Fields) -> Split:
    match fields.get("split"):
        case None | "train":
            return "train"
        case "validation":
            return "validation"
        case "test":
            return "test"
        case _:
            raise fields.refuse("split", "'train', 'validation' or 'test'")


def _turn(turn: SampledTurn, decode: Callable[[tuple[int, ...]], str]) -> dict[str, Any]:
    """Return a turn in ids and in text."""
    texts = {"prompt_text": decode(turn.prompt_token_ids), "sampled_text": decode(turn.sampled_token_ids)}
    return {**asdict(turn), **texts}
