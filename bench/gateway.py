"""Model calls per second through the rollout gateway, with and without recording, measured in the same run.

    vs_no_record    calls per second of the gateway / calls per second of the same server that records nothing

Each round starts one server of either kind, in turns (peers/gateway_server.py), and lets a thousand agents loose on it
(peers/load.py, in this process): ten calls each, then completion and reward, with nobody resting in between. Then the
same agents come at a rate that keeps the gateway less than half busy, which is when latency says something. Numbers are
medians over rounds. ``full`` keeps sessions, checks ids, records every token and fsyncs it before each reply is final;
``no_record`` is peers/no_record.py; ``echo`` is an app of one line under the same server and the same load.

After each round every trajectory is looked for in the log: sealed, rewarded as the agent said, all of its turns there
and each of them under the hash of the exact ids it was sampled for.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Literal, Self

from peers.conversations import Dialect
from peers.load import Agents, Calls, reward_of

from turnwright.core.outcome import Rewarded
from turnwright.rundir.manifest import installed_versions
from turnwright.rundir.record_log import recover
from turnwright.rundir.recovery import RecoveredTrajectory

HERE = Path(__file__).parent
RUNS = HERE.parent / "runs"
TARGETS = {"vs_no_record": 0.7}
LOOP_DELAY_TARGET_MS = 100
DIALECTS: Sequence[Dialect] = (
    "chat",
    "chat",
    "chat stream",
    "chat",
    "chat",
    "anthropic",
    "chat",
    "chat stream",
    "chat",
    "chat",
)
"""How ten agents in a row call."""
PACED_SHARE = 0.4
"""Of the rate that the gateway reaches under full load."""

Variant = Literal["full", "no_record", "echo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is done."""

    trajectories: int = 1000
    turns: int = 10
    rounds: int = 3
    paced_turns: int = 2


QUICK = Size(trajectories=40, turns=3, rounds=1, paced_turns=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one server did."""

    calls: Calls
    reports: Calls
    memory_bytes: int
    """By which the process grew while its trajectories made all their calls, none of which is over yet."""
    delays: dict[str, float]
    """Of the server's event loop while the agents called."""
    lost: int

    @property
    def rate(self) -> float:
        """Model calls per second, the time of completing and rewarding included."""
        return len(self.calls.latencies) / (self.calls.seconds + self.reports.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paced:
    """Both variants under the same moderate load."""

    full: Round
    no_record: Round
    offered_calls_per_s: float


def main() -> None:
    """Measure and print."""
    size = _options()
    RUNS.mkdir(exist_ok=True)
    rounds: dict[Variant, list[Round]] = {"full": [], "no_record": []}
    for number in range(size.rounds):
        # Who comes first in one round comes second in the next: the machine's speed drifts.
        for variant in ("full", "no_record") if number % 2 == 0 else ("no_record", "full"):
            rounds[variant].append(_run(variant, size))
            _print_round(f"round {number + 1}", variant, rounds[variant][-1])
    echo = _run("echo", size)
    _print_round("bound", "echo", echo)
    rate = PACED_SHARE * median(one.rate for one in rounds["full"])
    paced = Paced(
        full=_run("full", size, rate=rate), no_record=_run("no_record", size, rate=rate), offered_calls_per_s=rate
    )
    _print_round("paced", "full", paced.full)
    _print_round("paced", "no_record", paced.no_record)
    result = _result(rounds["full"], rounds["no_record"], echo, paced, size)
    for name, value in result["ratios"].items():
        print(f"{name:32}{value:12g}   target {TARGETS[name]:g}")
    for name in sorted(result["bounds"].keys() - TARGETS.keys()):
        print(f"{name:32}{result['bounds'][name]:12g}")
    print(json.dumps(result))


def _options() -> Size:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few trajectories, to see that it works")
    parser.add_argument("--rounds", type=int)
    options = parser.parse_args()
    size = QUICK if options.quick else Size()
    return replace(size, rounds=options.rounds or size.rounds)


def _run(variant: Variant, size: Size, *, rate: float | None = None) -> Round:
    """Start a server, let the agents loose on it, end it, and look for what was lost."""
    turns = size.turns if rate is None else size.paced_turns
    with tempfile.TemporaryDirectory(dir=RUNS, prefix="bench-gateway-") as folder:
        with _Server(variant, Path(folder), trajectories=size.trajectories, turns=turns) as server:
            agents = Agents(server.url, server.rollouts, DIALECTS if variant != "echo" else ["echo"])
            calls, reports, memory_bytes, delays = asyncio.run(_load(server, agents, turns=turns, rate=rate))
        lost = _count_lost(Path(folder), server.rollouts, turns=turns) if variant == "full" else 0
    return Round(calls=calls, reports=reports, memory_bytes=memory_bytes, delays=delays, lost=lost)


async def _load(
    server: "_Server", agents: Agents, *, turns: int, rate: float | None
) -> tuple[Calls, Calls, int, dict[str, float]]:
    before = server.memory_bytes()
    server.take_delays()
    calls = await agents.converse(turns=turns, rate=rate)
    delays = server.take_delays()
    memory_bytes = server.memory_bytes() - before
    reports = await agents.report()
    await agents.close()
    return calls, reports, memory_bytes, delays


class _Server:
    """A server process while it is entered."""

    def __init__(self, variant: Variant, folder: Path, *, trajectories: int, turns: int) -> None:
        arguments = [variant, str(folder), str(trajectories), str(turns)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "peers.gateway_server", *arguments],
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started = self._read()
        self.url: str = started["url"]
        self.rollouts: list[list[str]] = started["rollouts"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.communicate()
        if self._process.returncode:
            raise RuntimeError(f"the server ended with code {self._process.returncode}, expected 0")

    def take_delays(self) -> dict[str, float]:
        """Return the delays of the server's event loop since the last time."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._read()

    def memory_bytes(self) -> int:
        """Return the process's resident memory."""
        told = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(self._process.pid)], check=True, capture_output=True, text=True
        )
        return int(told.stdout) * 1024

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


def _count_lost(folder: Path, rollouts: Sequence[Sequence[str]], *, turns: int) -> int:
    """Return how many trajectories are not in the log as their agents lived them; ``recover`` checks every hash."""
    found = {trajectory.opened.trajectory_id: trajectory for trajectory in recover(folder)}
    return sum(
        not _is_whole(found.get(trajectory_id), turns=turns, reward=reward_of(number))
        for number, (trajectory_id, _) in enumerate(rollouts)
    )


def _is_whole(trajectory: RecoveredTrajectory | None, *, turns: int, reward: float) -> bool:
    if trajectory is None or trajectory.sealed is None or trajectory.ended is None:
        return False
    kept = trajectory.trajectory.turns
    return (
        isinstance(trajectory.outcome, Rewarded)
        and trajectory.outcome.value == reward
        and len(kept) == turns
        and not any(turn.abandoned for turn in kept)
        and [turn.parent for turn in kept] == [None, *range(turns - 1)]
    )


def _result(full: Sequence[Round], no_record: Sequence[Round], echo: Round, paced: Paced, size: Size) -> dict[str, Any]:
    # Round by round: the two of a round ran one after the other, on a machine of the same speed.
    ratio = median(one.rate / other.rate for one, other in zip(full, no_record, strict=True))
    added = {
        share: paced.full.calls.percentile(share) - paced.no_record.calls.percentile(share) for share in (0.5, 0.99)
    }
    return {
        "bench": "gateway",
        "ratios": {"vs_no_record": round(ratio, 3)},
        "bounds": {
            **TARGETS,
            "target_loop_delay_p99_ms": LOOP_DELAY_TARGET_MS,
            "loop_delay_p99_ms": round(median(one.delays["delay_p99_ms"] for one in full), 1),
            "loop_delay_max_ms": round(max(one.delays["delay_max_ms"] for one in full), 1),
            "full_calls_per_s": round(median(one.rate for one in full)),
            "no_record_calls_per_s": round(median(one.rate for one in no_record)),
            "echo_requests_per_s": round(echo.rate),
            "paced_calls_per_s": round(paced.offered_calls_per_s),
            "added_latency_p50_ms": round(added[0.5], 2),
            "added_latency_p99_ms": round(added[0.99], 2),
            "memory_per_trajectory_kb": round(median(one.memory_bytes for one in full) / size.trajectories / 1000, 1),
            "lost_trajectories": sum(one.lost for one in (*full, paced.full)),
        },
        "versions": installed_versions() | {name: version(name) for name in ("starlette", "uvicorn")},
    }


def _print_round(name: str, variant: Variant, one: Round) -> None:
    calls = one.calls
    print(
        f"{name:8} {variant:10} {one.rate:7.0f} calls/s   latency p50 {calls.percentile(0.5):8.1f}, "
        f"p99 {calls.percentile(0.99):8.1f} ms   loop delay p99 {one.delays['delay_p99_ms']:7.1f}, "
        f"max {one.delays['delay_max_ms']:7.1f} ms   memory + {one.memory_bytes / 1e6:6.1f} MB   lost {one.lost}",
        flush=True,
    )


if __name__ == "__main__":
    main()
