"""An agent that is a program in any language: one process per rollout, told by its environment what to do.

    TURNWRIGHT_ROLLOUT                          the payload as JSON; also on standard input, whole however long it is
    TURNWRIGHT_ENDPOINT, RFT_RUNTIME_ENDPOINT   the gateway
    TURNWRIGHT_TRAJECTORY_ID                    this attempt
    TURNWRIGHT_API_KEY                          may sample, seal and reward it
    OPENAI_BASE_URL, OPENAI_API_KEY             for OpenAI clients as they are; the key may only sample
    ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY       for Anthropic clients as they are; the key may only sample

The rest of the environment is this process's own. What became of the trajectory is what the program's runtime calls
say, or a report on the last line of its standard output, such as ``{"reward": 1.0}`` or ``{"status": "error", "error":
"no such order"}``. A program that prints what the policy wrote should print a line of its own after it, or the policy
learns to write that report. An exit code other than 0 fails the attempt.
"""

import asyncio
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from signal import Signals

from turnwright.agents.base import AgentError, AgentReport, excerpt, nobody, read_report
from turnwright.agents.process import ProcessGroup
from turnwright.core.errors import ConfigError
from turnwright.core.rollout import RolloutRequest

MAX_VARIABLE_BYTES = 96 * 1024
"""Longest payload passed in the environment; Linux refuses 128 KiB (MAX_ARG_STRLEN) and starts nothing."""
REPORT_KEYS = frozenset({"reward", "rewards", "components", "status"})
ROLLOUT_VARIABLES = frozenset(
    {
        "TURNWRIGHT_ROLLOUT",
        "TURNWRIGHT_ENDPOINT",
        "RFT_RUNTIME_ENDPOINT",
        "TURNWRIGHT_TRAJECTORY_ID",
        "TURNWRIGHT_API_KEY",
        "OPENAI_BASE_URL",
        "OPENAI_API_KEY",
        "ANTHROPIC_BASE_URL",
        "ANTHROPIC_API_KEY",
    }
)
"""Set per rollout, so that no configuration can set them."""
# Anthropic clients would send the user's own token beside the rollout's.
NOT_INHERITED = frozenset({"ANTHROPIC_AUTH_TOKEN"})


class SubprocessAgent:
    """Implements AgentLauncher over a command.

    Example::

        SubprocessAgent(["node", "agent.js"], env={"LOG_LEVEL": "debug"}, cwd=Path("agents"), timeout=600)
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        timeout: float,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        grace_seconds: float = 5.0,
    ) -> None:
        """Take the command; nothing is started yet.

        Args:
            command: Program and arguments, without a shell.
            timeout: Seconds one process may run.
            env: Variables besides the inherited ones.
            cwd: Its working directory; None = this process's.
            grace_seconds: Between the request to end (SIGTERM) and the end (SIGKILL).

        Raises:
            ConfigError: the command is empty, or ``env`` sets what each rollout sets.
        """
        if not command:
            raise ConfigError("the agent's command is empty: give a program and its arguments")
        taken = sorted(ROLLOUT_VARIABLES.intersection(env or {}))
        if taken:
            raise ConfigError(f"the agent's variable {taken[0]} is set for each rollout: choose another name")
        self._command = tuple(command)
        self._name = f"command {self._command[0]!r}"
        self._timeout = timeout
        self._env = dict(env or {})
        self._cwd = cwd
        self._grace_seconds = grace_seconds

    async def launch(self, request: RolloutRequest, on_start: Callable[[], None] = nobody) -> AgentReport:
        """Run one process to its end; cancelling it ends the process and its group.

        Returns:
            The report on the last line of its output; an empty one when there is none.

        Raises:
            AgentError: it cannot be started, runs too long, exits with an error, or reports what is no report.
        """
        payload = json.dumps(request.payload())
        on_start()
        process = await self._start(request, payload)
        try:
            await self._run(process)
        except TimeoutError:
            detail = f"{self._name} did not end within {self._timeout:g} s; its standard error: "
            raise AgentError("agent_timeout", detail + _said(process, request)) from None
        if process.exit_code != 0:
            detail = f"{self._name} {_ending(process.exit_code)}; its standard error: {_said(process, request)}"
            raise AgentError("agent_error", detail)
        return self._read_report(process.output(), request)

    async def close(self) -> None:
        """Nothing is left to close: each process ends with its launch."""

    async def _start(self, request: RolloutRequest, payload: str) -> ProcessGroup:
        inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        env = {**inherited, **self._env, **_variables(request, payload)}
        try:
            return await ProcessGroup.start(self._command, env=env, cwd=self._cwd, stdin=payload.encode())
        except (OSError, ValueError) as error:
            where = f" in {self._cwd}" if self._cwd else ""
            raise AgentError("agent_unreachable", f"{self._name} cannot be started{where}: {error}") from error

    async def _run(self, process: ProcessGroup) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await process.wait()
        finally:
            await process.end(self._grace_seconds)

    def _read_report(self, output: str, request: RolloutRequest) -> AgentReport:
        lines = output.strip().splitlines()
        try:
            last = json.loads(lines[-1]) if lines else None
        except (ValueError, RecursionError):
            return AgentReport()
        if not isinstance(last, dict) or REPORT_KEYS.isdisjoint(last):
            return AgentReport()
        report = read_report(last, self._name)
        return report if report.error is None else AgentReport(error=excerpt(report.error, request))


def _variables(request: RolloutRequest, payload: str) -> dict[str, str]:
    line = f"{request.endpoint}/t/{request.trajectory_id}"
    return {
        **({"TURNWRIGHT_ROLLOUT": payload} if len(payload) <= MAX_VARIABLE_BYTES else {}),
        "TURNWRIGHT_ENDPOINT": request.endpoint,
        "RFT_RUNTIME_ENDPOINT": request.endpoint,
        "TURNWRIGHT_TRAJECTORY_ID": request.trajectory_id,
        "TURNWRIGHT_API_KEY": request.api_key,
        "OPENAI_BASE_URL": f"{line}/v1",
        "OPENAI_API_KEY": request.sampling_key,
        "ANTHROPIC_BASE_URL": line,
        "ANTHROPIC_API_KEY": request.sampling_key,
    }


def _ending(code: int | None) -> str:
    if code is None:
        return "cannot be ended"
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was ended by {Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _said(process: ProcessGroup, request: RolloutRequest) -> str:
    return excerpt(process.errors(), request) or "nothing"
