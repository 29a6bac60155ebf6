"""The decorator of an agent's entry point: payload -> Rollout -> the agent -> reports.

The agent is a function of a Rollout; what it returns, or raises, is reported for it (``reports.reports_for``). Nothing
that goes wrong is kept quiet: the agent's exception is raised again after it was reported, and so is an error while
reporting, with the agent's exception as its cause.
"""

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from inspect import Parameter, Signature
from typing import Any, Protocol, TypeVar

from turnwright.client.context import rollout_context
from turnwright.client.errors import FeedbackError
from turnwright.client.feedback import AsyncFeedbackClient, FeedbackClient
from turnwright.client.reports import reports_for
from turnwright.client.request import Rollout

R_co = TypeVar("R_co", covariant=True)

Payload = Mapping[str, Any] | str | bytes


class Handler(Protocol[R_co]):
    """What web frameworks, Lambda and ``serve`` call: with the request, and with a context that is not used."""

    def __call__(self, payload: Payload, context: object = None) -> R_co:
        """Run one rollout and report on it."""
        ...


def rollout_handler(agent: Callable[[Rollout], R_co]) -> Handler[R_co]:
    """Make a function of a Rollout into the handler of rollout requests.

    Works for functions and coroutine functions. A cancelled or interrupted agent reports nothing: its process is being
    stopped, which says nothing about the attempt, and the gateway's time limit or lease decides.

    Example::

        @rollout_handler
        def solve(rollout):
            reply = openai_client(rollout).chat.completions.create(
                model="default", messages=[{"role": "user", "content": rollout.prompt}]
            )
            return 1.0 if "42" in reply.choices[0].message.content else 0.0

    Returns:
        A function of the payload that returns what the agent returned.

    Raises:
        RolloutRequestError: (when called) The payload is not a rollout request; nothing can be reported.
        FeedbackError: (when called) The gateway did not take a report.
        TypeError: (when called) The agent returned something that stands for no report; reported as failed.
    """
    handler: Any = _async_handler(agent) if inspect.iscoroutinefunction(agent) else _sync_handler(agent)
    # Web frameworks take the parameters they fill in from the signature: there is one, the request's body.
    handler.__signature__ = Signature(
        [Parameter("payload", Parameter.POSITIONAL_OR_KEYWORD, annotation=dict[str, Any])]
    )
    return handler


def run_handler(handler: Callable[[Any], Any], payload: Payload) -> object:
    """Call a handler from a thread without an event loop, whether it is a coroutine function or not."""
    result = handler(payload)
    return asyncio.run(result) if inspect.iscoroutine(result) else result


def _sync_handler(agent: Callable[[Rollout], Any]) -> Callable[..., Any]:
    @_named_after(agent)
    def handle(payload: Payload, context: object = None) -> Any:
        rollout = Rollout.from_payload(payload)
        feedback = FeedbackClient(rollout)
        try:
            with rollout_context(rollout):
                result = agent(rollout)
            reports = reports_for(result)
        except Exception as error:
            try:
                feedback.report_error(error)
            except FeedbackError as unreported:
                raise unreported from error
            raise
        for report in reports:
            feedback.send(report)
        return result

    return handle


def _async_handler(agent: Callable[[Rollout], Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    @_named_after(agent)
    async def handle(payload: Payload, context: object = None) -> Any:
        rollout = Rollout.from_payload(payload)
        feedback = AsyncFeedbackClient(rollout)
        try:
            with rollout_context(rollout):
                result = await agent(rollout)
            reports = reports_for(result)
        except Exception as error:
            try:
                await feedback.report_error(error)
            except FeedbackError as unreported:
                raise unreported from error
            raise
        for report in reports:
            await feedback.send(report)
        return result

    return handle


def _named_after(agent: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a handler its agent's name and documentation, but not its parameters."""
    return wraps(agent, assigned=("__module__", "__name__", "__qualname__", "__doc__"), updated=())
