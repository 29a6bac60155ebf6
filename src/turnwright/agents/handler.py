"""An agent behind a Lambda-style forwarder, ``handler(event, context)``, run in this process instead of in AWS.

The event is the payload. The handler passes it on to its agent and answers ``{}`` or nothing when the agent has it; the
runtime calls say what became of it. ``{"errorType": ..., "errorMessage": ...}`` says that the agent did not take it:
"Throttling" is offered again with back-off, all else fails the attempt.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from turnwright.agents.backoff import NotTaken, offer_until_taken
from turnwright.agents.base import AgentError, excerpt, nobody
from turnwright.agents.in_process import Calls, load_callable
from turnwright.config.place import require_parameters
from turnwright.core.rollout import RolloutRequest

CURES: Mapping[str, str] = {
    "ValidationError": "the handler or its agent refuses the payload",
    "AccessDenied": "the handler may not reach its agent: check its credentials",
    "InternalServerError": "the agent behind the handler broke",
}
"""What each ``errorType`` of the forwarder contract means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerContext:
    """What a Lambda handler reads from its second argument; names as in AWS's context object."""

    function_name: str
    deadline: float
    """When its time is up, on the monotonic clock."""
    function_version: str = "$LATEST"
    memory_limit_in_mb: int = 256
    aws_request_id: str = field(default_factory=lambda: str(uuid4()))
    log_group_name: str = "turnwright"
    log_stream_name: str = "local"
    identity: None = None
    client_context: None = None

    @property
    def invoked_function_arn(self) -> str:
        """An ARN of the usual form; no account has it."""
        return f"arn:aws:lambda:local:000000000000:function:{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds left of the rollout's time."""
        return max(0, int((self.deadline - time.monotonic()) * 1000))


class HandlerAgent:
    """Implements AgentLauncher over a Lambda-style handler."""

    def __init__(self, handler: Callable[..., Any] | str, *, timeout: float, attempts: int = 6) -> None:
        """Take the handler.

        Args:
            handler: The function, or its name: ``package.module:handler`` or ``path/file.py:handler``.
            timeout: Seconds it may take in all, pauses included.
            attempts: How often a throttled rollout is offered.

        Raises:
            EnvironmentLoadError: the name does not resolve, or the function does not take an event and a context.
        """
        if isinstance(handler, str):
            name, handler = handler, load_callable(handler, "event", "context")
        else:
            name = getattr(handler, "__qualname__", repr(handler))
            require_parameters(handler, f"agent {name}", "event", "context")
        self._name = f"handler {name}"
        self._function_name = name.rpartition(":")[2]
        self._timeout = timeout
        self._attempts = attempts
        self._calls = Calls(handler, self._name)

    async def launch(self, request: RolloutRequest, on_start: Callable[[], None] = nobody) -> None:
        """Call the handler until its agent has the rollout.

        Raises:
            AgentError: it raised, said so, did not return in time, or was throttled each time.
        """
        on_start()
        context = HandlerContext(function_name=self._function_name, deadline=time.monotonic() + self._timeout)
        try:
            async with asyncio.timeout(self._timeout):
                await offer_until_taken(lambda: self._invoke(request, context), attempts=self._attempts)
        except TimeoutError:
            detail = f"{self._name} did not return within {self._timeout:g} s; its thread cannot be ended"
            raise AgentError("agent_timeout", detail) from None

    async def close(self) -> None:
        """Wait a moment for the calls in work."""
        await self._calls.close()

    async def _invoke(self, request: RolloutRequest, context: HandlerContext) -> None:
        answer = await self._calls.call(json.loads(json.dumps(request.payload())), context)
        if not isinstance(answer, Mapping) or not answer.get("errorType"):
            return
        kind = str(answer["errorType"])
        message = excerpt(str(answer.get("errorMessage") or "no message"), request)
        detail = f"{self._name} answered {kind}: {message}"
        if kind == "Throttling":
            raise NotTaken(detail)
        raise AgentError("agent_error", f"{detail} ({CURES[kind]})" if kind in CURES else detail)
