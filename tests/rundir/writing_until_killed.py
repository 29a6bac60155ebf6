"""A loop of writes that is killed at random moments and goes on from what it finds; run as a program.

parent --fork--> child: check, resume, write, tell each write that returned --SIGKILL--> the next child ...

Every step takes two of the three open groups, each of two attempts, so that a group may wait for a step while others
are closed. What a child was told to be safe lies in ``told``; ``check`` finds it again.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from rundir.attempts import make_attempt, make_group, record
from turnwright.config import resolve_values
from turnwright.core.group import Attempt
from turnwright.rundir import RunReader, RunWriter, collect_manifest
from turnwright.rundir.records import BatchGroup

LIVES = 20
MOST_WRITES = 16
"""After a random number of writes, and a random moment, a life ends."""
GROUP_SIZE = 2
OPEN_GROUPS = 3


def check(root: Path, told: Path) -> None:
    """Raise AssertionError when an attempt or a step that was told is lost, or when anything is there twice."""
    reader = RunReader(root)
    batches, open_groups = reader.batches(), reader.open_groups()
    attempts = [attempt for batch in batches for attempt in reader.attempts(batch.step)]
    attempts += [attempt for found in open_groups for attempt in found.attempts]
    found = {str(attempt.episode.key): attempt.episode.outcome.value for attempt in attempts}  # type: ignore[union-attr]
    assert len(found) == len(attempts), "an attempt is there twice"
    numbers = [group.number for batch in batches for group in batch.groups] + [one.group.number for one in open_groups]
    assert sorted(numbers) == list(range(len(numbers))), "a group is there twice, or is lost"
    assert reader.closed_steps(after=0) == len(batches)
    for line in told.read_text().splitlines():
        kind, name, value = line.split()
        if kind == "attempt":
            assert found[name] == float(value), f"attempt {name} is lost, or was made again"
        if kind == "step":
            assert int(name) <= len(batches), f"step {name} is lost"


def write(root: Path, told: Path, tick: Callable[[], object], draw: random.Random) -> None:
    """Go on with the run until killed; ``tick`` is called after every write."""
    reader = RunReader(root)
    step = reader.closed_steps(after=0)
    with RunWriter.resume(root, step=step) as writer, told.open("a", buffering=1) as safe:
        made: dict[int, tuple[BatchGroup, list[Attempt]]] = {
            found.group.number: (found.group, list(found.attempts)) for found in reader.open_groups()
        }
        dealt = sum(len(batch.groups) for batch in reader.batches()) + len(made)
        while True:
            while len(made) < OPEN_GROUPS:
                group = make_group(dealt, f"task-{dealt}", version=step)
                writer.open_group(group)
                tick()
                made[dealt] = group, []
                dealt += 1
            for number, (group, attempts) in made.items():
                ended = {attempt.episode.key.attempt for attempt in attempts}
                if missing := [i for i in range(GROUP_SIZE) if i not in ended]:
                    versions = (step, step)
                    attempt = make_attempt(group.task, missing[0], reward=draw.random(), calls=9, versions=versions)
                    writer.attempt(number, attempt)
                    attempts.append(attempt)
                    safe.write(f"attempt {attempt.episode.key} {attempt.episode.outcome.value}\n")  # type: ignore[union-attr]
                    tick()
            complete = [number for number, (_, attempts) in made.items() if len(attempts) == GROUP_SIZE][:2]
            if len(complete) == 2:
                step += 1
                taken = [made.pop(number) for number in draw.sample(complete, 2)]
                batch = record(step, [group for group, _ in taken])
                batch = replace(batch, groups=(batch.groups[0], replace(batch.groups[1], fate="stale")))
                writer.close_step(batch, [attempt for _, attempts in taken for attempt in attempts])
                safe.write(f"step {step} 0\n")
                tick()
                writer.metrics(step, {})
                tick()


def main() -> None:
    """Kill one life after the other until there were enough, and check what is left."""
    root, told, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    # Here, so that no life spends its time on it; the threads of polars begin with its first table.
    import polars  # noqa: F401

    config = resolve_values({"environment": {"name": "orders"}}, source="run.toml")
    RunWriter.create(root, config=config, manifest=collect_manifest(name="demo", seed=1)).close()
    told.touch()
    draw = random.Random(seed)
    for life in range(LIVES):
        ticks, clock = os.pipe()
        child = os.fork()
        if not child:
            try:
                check(root, told)
                os.write(clock, b".")
                write(root, told, partial(os.write, clock, b"."), random.Random(f"{seed} {life}"))
            except BaseException as error:
                sys.stderr.write(f"{error!r}\n")
                sys.stderr.flush()
                os._exit(1)
        os.close(clock)
        for _ in range(draw.randrange(1, MOST_WRITES)):
            os.read(ticks, 1)
        time.sleep(draw.uniform(0.0, 0.01))
        os.kill(child, signal.SIGKILL)
        os.close(ticks)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.exit(f"life {life} ended by itself")
    check(root, told)
    sys.stdout.write(f"{len(RunReader(root).batches())} steps\n")


if __name__ == "__main__":
    main()
