"""The pull queue over HTTP: GET /rollouts/next and POST /rollouts/{trajectory_id}/heartbeat.

A worker needs a credential of the whole job: a token without a trajectory, or the run's AWS key pair. What it fetches
holds the tokens of single trajectories. Leases are kept in agents/queue.py.
"""

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from turnwright.agents.queue import RolloutQueue
from turnwright.gateway.credentials import Credentials
from turnwright.gateway.http.endpoint import caller_of
from turnwright.gateway.http.openapi import MOST_WAIT_SECONDS
from turnwright.gateway.refusals import Refusal

_WAIT_SECONDS = 20.0
_LONGEST_NAME = 256


class QueueRoutes:
    """Endpoints of the workers."""

    def __init__(self, queue: RolloutQueue, credentials: Credentials) -> None:
        """Serve a queue.

        Args:
            queue: Holds rollouts and leases.
            credentials: Checks who asks.
        """
        self._queue = queue
        self._credentials = credentials

    async def next(self, request: Request) -> Response:
        """Lease the next rollout, waiting for one; a worker that hangs up meanwhile takes none."""
        self._require_worker(request)
        worker, wait = _worker(request), _wait(request)
        taking = asyncio.ensure_future(self._queue.next(worker, wait))
        leaving = asyncio.ensure_future(_disconnect(request))
        try:
            await asyncio.wait({taking, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            taking.cancel()
            leaving.cancel()
            await asyncio.gather(taking, leaving, return_exceptions=True)
        rollout = None if taking.cancelled() else taking.result()
        return Response(status_code=204) if rollout is None else JSONResponse(rollout.payload())

    async def heartbeat(self, request: Request) -> JSONResponse:
        """Renew a lease."""
        self._require_worker(request)
        trajectory_id, worker = request.path_params["trajectory_id"], _worker(request)
        if not self._queue.heartbeat(trajectory_id, worker):
            raise Refusal(
                "conflict",
                f"worker {worker!r} does not hold the lease of rollout {trajectory_id[:80]!r}: it has expired, or the "
                "rollout has ended; stop working on it and fetch the next one",
                reason="lease_lost",
            )
        return JSONResponse({"lease": "renewed"})

    def _require_worker(self, request: Request) -> None:
        identity = self._credentials.identify(caller_of(request, b""))
        identity.require("sample")
        if identity.trajectory_id is not None:
            raise Refusal(
                "access_denied",
                f"a worker needs a token of the whole job: got one of trajectory {identity.trajectory_id!r}; use the "
                "token that the run prints for its workers",
            )


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _worker(request: Request) -> str:
    name = request.query_params.get("worker", "worker")
    if not 1 <= len(name) <= _LONGEST_NAME:
        raise Refusal(
            "validation", f"worker must be a name of 1 to {_LONGEST_NAME} characters: got {len(name)}", field="worker"
        )
    return name


def _wait(request: Request) -> float:
    text = request.query_params.get("wait", str(_WAIT_SECONDS))
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MOST_WAIT_SECONDS:
        raise Refusal(
            "validation", f"wait must be seconds from 0 to {MOST_WAIT_SECONDS}: got {text[:40]!r}", field="wait"
        )
    return seconds
