"""``turnwright probe``: does an agent keep the contract? A few rollouts under a scripted policy, and what to change."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from turnwright.cli.options import Overrides
from turnwright.cli.output import AsJson
from turnwright.config import resolve_values
from turnwright.config.reaching import AgentKind
from turnwright.core.errors import ConfigError
from turnwright.launch.probe import PROMPT, ProbeGateway, probe_agent
from turnwright.launch.probe_report import ProbeReport

MOST_REPLY_TOKENS = 4096
"""The shipped tokenizer makes many tokens of a text; replies are not to be cut."""
KINDS = tuple(kind for kind in get_args(AgentKind) if kind != "builtin")


def probe(
    url: Annotated[str | None, typer.Argument(metavar="[URL]", help="Where the agent takes rollouts.")] = None,
    kind: Annotated[str, typer.Option(help=f"How it is reached: {', '.join(KINDS)}.")] = "http",
    target: Annotated[
        str | None, typer.Option(help="file.py:function, file.py:handler, or a command line, as agent.target.")
    ] = None,
    prompt: Annotated[str, typer.Option(help="Task of the rollouts.")] = PROMPT,
    replies: Annotated[
        Path | None, typer.Option(metavar="REPLIES.JSONL", help="Scripted replies in place of the probe's own.")
    ] = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="Longest wait for a rollout.")] = 60.0,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Test an agent without a model: what it calls, what it forgets, and what to change. Exits 1 on an error."""
    resolved = resolve_values(
        {
            "environment": {"name": "prompts"},
            "agent": _agent(url, kind, target),
            "rollout": {"rollout_timeout": timeout},
            "sampling": {"sampling_max_tokens": MOST_REPLY_TOKENS},
        },
        source="turnwright probe",
        overrides=overrides or (),
    )

    def announce(gateway: ProbeGateway) -> None:
        if kind == "queue":
            _tell_workers(gateway)

    report = probe_agent(resolved.config, prompt=prompt, replies=replies, on_open=announce)
    if as_json:
        print(report.to_json(), end="")
    else:
        _print(report)
    if not report.passed:
        raise typer.Exit(1)


def _agent(url: str | None, kind: str, target: str | None) -> dict[str, Any]:
    """Return the [agent] section that the arguments describe."""
    if kind not in KINDS:
        raise ConfigError(f"--kind {kind!r} is no way to reach an agent: expected {', '.join(KINDS)}")
    if kind == "queue":
        if url is not None or target is not None:
            raise ConfigError("workers of a queue come by themselves: leave out URL and --target with --kind queue")
        return {"kind": kind}
    if (url is None) == (target is None):
        raise ConfigError(
            "say where the agent is, once: `turnwright probe http://127.0.0.1:8080/rollout`, or `turnwright probe "
            f"--kind function --target agent.py:rollout`; got URL {url!r} and --target {target!r}"
        )
    if url is not None and kind != "http":
        raise ConfigError(f"a URL reaches an agent of the kind 'http', not {kind!r}: give --target instead")
    return {"kind": kind, "target": url if url is not None else target}


def _tell_workers(gateway: ProbeGateway) -> None:
    """Say how workers reach the probe; on standard error, beside the report."""
    for line in (
        "start your worker now, with these two:",
        f"  export TURNWRIGHT_ENDPOINT={shlex.quote(gateway.url)}",
        f"  export TURNWRIGHT_WORKER_TOKEN={shlex.quote(gateway.worker_token)}",
    ):
        print(line, file=sys.stderr, flush=True)


def _print(report: ProbeReport) -> None:
    print(f"{report.agent}: {'keeps the contract' if report.passed else 'BREAKS the contract'}")
    for rollout in report.rollouts:
        print(f"rollout {rollout.number}: {rollout.summary}")
        for line in rollout.lines:
            print(f"  {line}")
    if report.unattributed:
        print("requests of no rollout:")
        for line in report.unattributed:
            print(f"  {line}")
    for finding in report.findings:
        print(f"{finding.severity} {finding.code} ({finding.where}): {finding.evidence}")
        print(f"  to do: {finding.cure}")
