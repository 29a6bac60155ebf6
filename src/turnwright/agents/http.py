"""An agent behind HTTP: the payload is pushed to its URL.

``/rollout`` is the usual path; ``/invocations`` with ``GET /ping`` is the contract of Bedrock AgentCore; any other path
works as well. An agent may answer when it has finished, or at once with ``{"status": "accepted"}``: what became of its
trajectory is what its runtime calls say. Of the answer only ``{"status": "error", "error": ...}`` counts. Rewards in it
do not: agents written for the service return theirs *and* report them.

Two programs must never work at one trajectory, so a launch is repeated only where nothing can have been started: the
connection was refused or the name not found, or the agent answered 429 or 503, "not now". A connection that breaks
after the request was sent, and a 502 or 504 of a proxy in between, leave open whether the agent is at work: those fail
the attempt, and the next attempt has a trajectory of its own.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx2

from turnwright.agents.backoff import NotTaken, offer_until_taken
from turnwright.agents.base import AgentError, AgentReport, excerpt, nobody, read_report
from turnwright.core.errors import ConfigError
from turnwright.core.rollout import RolloutRequest

log = logging.getLogger(__name__)

ROLLOUT_PATH = "/rollout"
AGENTCORE_NAME = "invocations"
AGENTCORE_SESSION = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
NOT_NOW = frozenset({429, 503})
"""Statuses of an agent that has started nothing."""
ERROR_NAMES: Mapping[int, str] = {403: "AccessDenied", 429: "Throttling"}
"""The forwarder contract's names; 4xx else are ValidationError, all others InternalServerError."""
CURES: Mapping[int, str] = {
    401: "give the headers it wants, or let this machine in",
    403: "give the headers it wants, or let this machine in",
    404: "serve that path, or name the one it serves in the agent's URL",
    405: "serve POST on that path, or name the one it serves in the agent's URL",
}
MAX_ANSWER_BYTES = 1 << 20
CONNECT_SECONDS = 10.0
CHECK_SECONDS = 10.0
# Shorter than common servers' own limit (5 s), so that no request goes out on a connection that is being closed.
KEEP_ALIVE_SECONDS = 2.0


class HttpAgent:
    """Implements AgentLauncher over an agent's HTTP server."""

    def __init__(
        self, url: str, *, timeout: float, headers: Mapping[str, str] | None = None, attempts: int = 6
    ) -> None:
        """Take the address; nothing is sent yet.

        Args:
            url: Where rollouts are posted; ``/rollout`` is meant when it has no path. ``http://user:password@host``
                sends basic credentials.
            timeout: Seconds a launch may take in all, pauses included: the rollout's own limit.
            headers: Sent with each request, such as the agent server's own credentials.
            attempts: How often a rollout is offered to an agent that does not take it.

        Raises:
            ConfigError: ``url`` is no http or https URL.
        """
        try:
            parsed = httpx2.URL(url)
        except httpx2.InvalidURL as error:
            raise ConfigError(f"the agent's URL {url!r} cannot be read: {error}") from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ConfigError(f"the agent's URL must be like 'http://127.0.0.1:8080{ROLLOUT_PATH}': got {url!r}")
        self._url = parsed if parsed.path.strip("/") else parsed.copy_with(path=ROLLOUT_PATH)
        self._what = f"POST {_shown(self._url)}"
        self._timeout = timeout
        self._attempts = attempts
        self._has_warned = False
        self._client = httpx2.AsyncClient(
            # Compressed answers could grow without bound; a launch has one limit for all of it.
            headers={"user-agent": "turnwright", **(headers or {}), "accept-encoding": "identity"},
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
            limits=httpx2.Limits(keepalive_expiry=KEEP_ALIVE_SECONDS),
        )

    async def check(self) -> str:
        """Ask the agent whether it is there, by ``health`` or ``ping`` beside its path, and return its answer in words.

        Raises:
            AgentError: it does not answer, or serves neither.
        """
        parent, _, name = self._url.path.rstrip("/").rpartition("/")
        probes = ("ping", "health") if name == AGENTCORE_NAME else ("health", "ping")
        answers = [await self._probe(self._url.copy_with(path=f"{parent}/{probes[0]}"))]
        if not answers[0].is_fine:
            answers.append(await self._probe(self._url.copy_with(path=f"{parent}/{probes[1]}")))
        if not answers[-1].is_fine:
            detail = f"{'; '.join(answer.text for answer in answers)}: serve one of them with status 200"
            raise AgentError("agent_unreachable", detail)
        return answers[-1].text

    async def launch(self, request: RolloutRequest, on_start: Callable[[], None] = nobody) -> AgentReport | None:
        """Send the rollout and wait for the answer.

        Returns:
            A report with an error when the answer says so; None otherwise.

        Raises:
            AgentError: it was refused, not taken after all attempts, lost on the way, or not answered in time.
        """
        on_start()
        try:
            async with asyncio.timeout(self._timeout):
                return await offer_until_taken(lambda: self._post(request), attempts=self._attempts)
        except TimeoutError:
            detail = f"{self._what} was not answered within {self._timeout:g} s"
            raise AgentError("agent_timeout", detail) from None

    async def close(self) -> None:
        """Close the pooled connections."""
        await self._client.aclose()

    async def _probe(self, url: httpx2.URL) -> "_Probed":
        try:
            async with asyncio.timeout(CHECK_SECONDS), self._client.stream("GET", url) as response:
                text = (await _read_body(response)).decode(errors="replace")[:200]
        except (httpx2.HTTPError, TimeoutError) as error:
            detail = f"GET {_shown(url)} failed: {_reason(error)}; is the agent running there?"
            raise AgentError("agent_unreachable", detail) from error
        text = f"GET {_shown(url)} answered {response.status_code} {text}".rstrip()
        return _Probed(is_fine=response.is_success, text=text)

    async def _post(self, request: RolloutRequest) -> AgentReport | None:
        headers = {"content-type": "application/json", AGENTCORE_SESSION: request.trajectory_id}
        body = json.dumps(request.payload())
        try:
            async with self._client.stream("POST", self._url, content=body, headers=headers) as response:
                answer = await _read_body(response)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise NotTaken(f"{self._what} failed: {_reason(error)}") from error
        except httpx2.HTTPError as error:
            detail = f"{self._what}: the connection broke after the rollout had been sent: {_reason(error)}"
            raise AgentError("agent_error", detail) from error
        if not response.is_success:
            raise _refusal(self._what, response, excerpt(answer.decode(errors="replace"), request))
        return self._read_answer(answer, request)

    def _read_answer(self, body: bytes, request: RolloutRequest) -> AgentReport | None:
        if not body.strip():
            return None
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            if not self._has_warned:
                self._has_warned = True
                text = excerpt(body[:200].decode(errors="replace"), request)
                log.warning("%s: the answer is not JSON and is ignored, this time and later: %s", self._what, text)
            return None
        if isinstance(answer, dict) and answer.get("status") == "error":
            report = read_report(answer, self._what)
            return AgentReport(error=excerpt(report.error or "", request))
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Probed:
    is_fine: bool
    text: str


async def _read_body(response: httpx2.Response) -> bytes:
    """Return the beginning of the body, a little more than MAX_ANSWER_BYTES at most; the rest is not asked for."""
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            break
    return bytes(body)


def _refusal(what: str, response: httpx2.Response, text: str) -> NotTaken | AgentError:
    status = response.status_code
    name = ERROR_NAMES.get(status) or ("ValidationError" if 400 <= status < 500 else "InternalServerError")
    detail = f"{what} answered {status} ({name}): {text or 'no text'}"
    if status in NOT_NOW:
        return NotTaken(detail, read_retry_after(response.headers.get("retry-after"), time.time()))
    if response.is_redirect:
        detail = f"{what} is redirected to {response.headers.get('location')}: set the agent's URL to that"
    elif status in CURES:
        detail = f"{detail}; {CURES[status]}"
    return AgentError("agent_unreachable" if status in (502, 504) else "agent_error", detail)


def read_retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a Retry-After header asks for; None without one that can be read.

    Args:
        value: Seconds, or an HTTP date (RFC 9110 section 10.2.3).
        now: Seconds since the epoch.
    """
    try:
        seconds = float(value or "")
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value or "").timestamp() - now
        except ValueError:
            return None
    return max(0.0, seconds) if seconds < float("inf") else None


def _shown(url: httpx2.URL) -> str:
    """Return the URL without a password."""
    return str(url.copy_with(userinfo=b""))


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
