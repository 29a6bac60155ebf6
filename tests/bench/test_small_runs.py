"""What bench/chaos.py and bench/soak.py take for proof: it must see an attempt that is lost, or trained twice."""

import importlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import ModuleType

import pytest

from rundir.attempts import make_attempt, make_group, record
from turnwright.config import resolve_values
from turnwright.core.outcome import Failed
from turnwright.rundir import RunWriter, collect_manifest

BENCH = Path(__file__).parents[2] / "bench"
OURS = ("small_runs", "slow_tools", "soak", "chaos")
Load = Callable[[str], ModuleType]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Import a module of the benches, which are no part of the package."""
    monkeypatch.syspath_prepend(str(BENCH))
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        monkeypatch.delitem(sys.modules, name)
    return importlib.import_module


@pytest.fixture
def writer(tmp_path: Path):
    config = resolve_values({"environment": {"name": "orders"}, "algorithm": {"group_size": 2}}, source="run.toml")
    with RunWriter.create(tmp_path / "run", config=config, manifest=collect_manifest(name="run", seed=1)) as writer:
        yield writer


def close(writer: RunWriter, step: int, number: int, task: str, *, reward: float = 1.0, metrics: bool = True) -> None:
    group = make_group(number, task, version=step - 1)
    attempts = [make_attempt(task, i, reward=reward, versions=(step - 1, step - 1)) for i in range(2)]
    writer.open_group(group)
    for attempt in attempts:
        writer.attempt(number, attempt)
    writer.close_step(record(step, [group]), attempts)
    if metrics:
        writer.metrics(step, {"training/loss": 1 / step, "timing_s/step": 7.0})


def test_attempts_are_found_in_open_groups_and_in_closed_steps_and_failed_ones_are_not_counted(
    load: Load, writer: RunWriter
) -> None:
    evidence = load("small_runs.evidence")
    close(writer, 1, 0, "a")
    writer.open_group(make_group(1, "b"))
    broken = make_attempt("b", 1)
    writer.attempt(1, make_attempt("b", 0))
    writer.attempt(1, replace(broken, episode=replace(broken.episode, outcome=Failed(cause="tool_error"))))
    assert {ended.key for ended in evidence.on_disk(writer.layout.root)} == {"a#0", "a#1", "b#0"}


def test_an_attempt_that_was_sampled_again_is_not_the_one_that_was_lost(load: Load, writer: RunWriter) -> None:
    evidence = load("small_runs.evidence")
    writer.open_group(make_group(0, "a"))
    writer.attempt(0, make_attempt("a", 0, versions=(0, 0)))
    before = evidence.on_disk(writer.layout.root)
    again = [make_attempt("a", 0, versions=(0, 1)), make_attempt("a", 1)]
    writer.close_step(record(1, [make_group(0, "a")]), again)
    lost = before - evidence.final(writer.layout.root, steps=1).attempts
    assert {ended.key for ended in lost} == {"a#0"}


def test_what_a_finished_run_is_made_of(load: Load, writer: RunWriter) -> None:
    evidence = load("small_runs.evidence")
    close(writer, 1, 0, "a", reward=0.0)
    close(writer, 2, 1, "b", reward=0.5)
    with writer.checkpoint(2) as folder:
        (folder / "model.safetensors").write_bytes(b"weights")
    found = evidence.final(writer.layout.root, steps=2)
    assert (len(found.attempts), found.reward) == (4, 0.25)
    assert (found.trained_twice, found.missing_steps) == ((), ())
    assert [set(step) for step in found.metrics] == [{"step", "training/loss"}] * 2
    assert found.weights == sha256(b"weights").hexdigest()


def test_a_group_in_two_steps_and_metrics_that_are_missing_or_there_twice_are_seen(
    load: Load, writer: RunWriter
) -> None:
    evidence = load("small_runs.evidence")
    close(writer, 1, 0, "a", metrics=False)
    close(writer, 2, 1, "a")
    writer.metrics(2, {"training/loss": 1.0})
    found = evidence.final(writer.layout.root, steps=3)
    assert found.trained_twice == ("attempt a#0", "attempt a#1", "task 'a' in epoch 0")
    assert found.missing_steps == (1, 2, 3)


def test_two_runs_differ_where_a_number_or_a_weight_does_and_not_in_the_clock(load: Load) -> None:
    chaos, evidence = load("chaos"), load("small_runs.evidence")
    one = evidence.Final(
        attempts=frozenset(),
        trained_twice=(),
        metrics=({"step": 1.0, "training/loss": 0.1, "training/ratio/max": float("nan")},),
        missing_steps=(),
        weights="ab",
        rewards=(),
    )
    assert chaos.difference(one, one) == ""
    other = replace(one, metrics=({"step": 1.0, "training/loss": 0.1 + 1e-16, "training/ratio/max": float("nan")},))
    assert chaos.difference(one, other) == "training/loss of step 1 is 0.1000000000000001, expected 0.1"
    assert chaos.difference(one, replace(one, metrics=())) == "0 lines of metrics, expected 1"
    assert chaos.difference(one, replace(one, weights="cd")) == "weights cd, expected ab"


def test_a_process_is_shown_with_its_children_and_what_they_hold(load: Load) -> None:
    processes = load("small_runs.processes")
    script = (
        "import socket, subprocess, sys, threading\n"
        "held = [socket.socket() for _ in range(3)]\n"
        "threading.Thread(target=sys.stdin.read).start()\n"
        "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)\n"
        "print(child.pid, flush=True)\n"
    )
    # The command line of a controller names its agent's.
    command = [sys.executable, "-c", script, "turnwright.cli", "agent.target=small_runs/agent.py"]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdin is not None
    assert parent.stdout is not None
    try:
        child = int(parent.stdout.readline())
        assert processes.tree(parent.pid) == (parent.pid, child)
        assert processes.role(parent.pid) == "controller"
        usage = processes.usage(parent.pid)
        assert usage.sockets == 3
        assert usage.threads == 2
        assert usage.memory_mb > 1
    finally:
        parent.stdin.close()
        parent.wait()
        parent.stdout.close()
    assert processes.tree(parent.pid) == ()
    assert processes.usage(parent.pid) is None


def test_memory_that_grows_and_files_that_are_left_open_are_leaks_and_what_comes_and_goes_is_not(load: Load) -> None:
    soak, processes = load("soak"), load("small_runs.processes")

    def sample(step: int, memory: float, files: int, short_lived: int) -> object:
        steady = processes.Usage(pid=1, role="controller", memory_mb=memory, threads=5, files=files, sockets=2)
        agent = processes.Usage(pid=100 + short_lived, role="agent", memory_mb=9, threads=1, files=3, sockets=1)
        return soak.Sample(seconds=step, step=step, processes=(steady, agent))

    def judged(memory: Callable[[int], float], files: Callable[[int], int]) -> tuple[str, tuple[str, ...]]:
        (verdict,) = soak.judge(
            [sample(step, memory(step), files(step), step) for step in range(0, 1000, 10)], settled=100
        )
        return verdict.role, verdict.leaks

    steady = judged(lambda step: 500 if step >= 100 else step, lambda step: 10 + (step % 3 == 0))
    assert steady == ("controller", ())
    assert judged(lambda step: 500 + step / 10, lambda step: 10) == ("controller", ("memory",))
    assert judged(lambda step: 500, lambda step: 10 + step // 300) == ("controller", ("files",))
