"""An engine in a process of its own: what it gains beside a learner, and what a version of the weights weighs.

    process_vs_shared        sampled tokens per second while a learner trains: engine in its own process / in this one
    learner_beside_process   steps per second of that learner, in the same comparison
    BITS_RATE                share of the trained numbers that differ after a step (float32 or bfloat16, learning rate)
    BITS_RATE_bytes          bytes of that version / bytes of a whole one

The policy is the shipped one, and the rows are those that it samples at the returns desk. Each side has one core for
its engine and one for its learner, which trains on the rows of one group again and again and publishes each step; the
engine in this process is held from the first write of weights to the publication, as in a run. Both sides in turns,
medians over rounds.

Let nothing else run: the worker has a session of its own, and Linux may give each session an equal share of a busy
machine (sched_autogroup_enabled), so that other people's work makes the engine's own process look better than it is.
"""

import argparse
import asyncio
import json
import os
import shutil
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median

from transformers.utils import logging as transformers_logging

from turnwright.config import RunConfig, resolve
from turnwright.core.episode import EpisodeKey
from turnwright.core.group import Group, TrainableGroup
from turnwright.inference.base import GenerationRequest
from turnwright.inference.local import LocalEngine
from turnwright.inference.remote import ProcessEngine
from turnwright.launch.learning import optimizer_settings, step_settings
from turnwright.launch.player import build_player, load_tasks, play_attempts
from turnwright.learner.batch import is_live
from turnwright.learner.exclusive import UNDISTURBED
from turnwright.learner.executor import learner_executor
from turnwright.learner.optimizer import Optimizer
from turnwright.learner.passes import Passes, PassSettings
from turnwright.learner.step import StepSettings, take_step
from turnwright.models.load import Policy, Precision, load_policy
from turnwright.models.publication import Publisher, Replica, publication_folder
from turnwright.rollout.trainable import trainable_group
from turnwright.rundir.manifest import installed_versions

RUN = Path(__file__).parents[1] / "examples" / "returns_desk" / "run.toml"
ENGINE = ["inference.num_threads=1", "learner.num_threads=1", "rollout.rollout_max_concurrency=32"]
CASES: Sequence[tuple[Precision, float]] = (
    ("bfloat16", 1e-6),
    ("bfloat16", 1e-5),
    ("float32", 1e-6),
    ("float32", 1e-5),
)
REPLY_TOKENS = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What both did in one round."""

    tokens: float
    """Sampled per second."""
    steps: float
    """Trained and published per second."""
    publish_ms: float
    """Mean time of a publication, from the learner's last write to the first token under the new version."""


class Hold:
    """Implements Exclusive: holds an engine that reads the tensors in training."""

    def __init__(self, engine: LocalEngine) -> None:
        """Hold nothing yet."""
        self._engine, self._loop = engine, asyncio.get_running_loop()
        self._stack: AsyncExitStack | None = None

    @contextmanager
    def alone(self) -> Generator[None]:
        """Do nothing: no reference is scored here."""
        yield

    def until_published(self) -> None:
        """Hold the engine."""
        asyncio.run_coroutine_threadsafe(self._pause(), self._loop).result()

    async def _pause(self) -> None:
        if self._stack is None:
            self._stack = AsyncExitStack()
            await self._stack.enter_async_context(self._engine.paused())

    async def release(self) -> None:
        """Let the engine go on."""
        if self._stack is not None:
            await self._stack.aclose()


def main() -> None:
    """Measure and print."""
    options = _options()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    config = resolve(RUN, ENGINE).config
    groups = asyncio.run(_sample(config, num_tasks=options.tasks))
    prompts = [row.token_ids[:200] for group in groups for attempt in group.attempts for row in attempt.rows]
    print(f"{len(groups)} groups, {sum(len(one) for one in prompts)} prompt tokens", flush=True)
    ratios: dict[str, float] = {}
    for dtype, rate in CASES:
        changed, weight = _weigh(config, groups, dtype, rate, steps=options.steps)
        name = f"{dtype}_{rate:.0e}".replace("e-0", "e-")
        ratios |= {name: changed, f"{name}_bytes": weight}
        print(f"{name:16} changed {changed:8.3%}   bytes / whole {weight:8.3%}", flush=True)
    rounds = [
        {placement: asyncio.run(_race(placement, groups[:1], prompts, options.seconds)) for placement in sides}
        for sides in [("shared", "process"), ("process", "shared")] * options.rounds
    ]
    paces = {side: [one[side] for one in rounds] for side in ("shared", "process")}
    for side, some in paces.items():
        print(
            f"{side:16} {median(one.tokens for one in some):8.0f} tokens/s {median(one.steps for one in some):8.2f} "
            f"steps/s   {median(one.publish_ms for one in some):8.1f} ms per publication"
        )
    ratios["process_vs_shared"] = median(one["process"].tokens / one["shared"].tokens for one in rounds)
    ratios["learner_beside_process"] = median(one["process"].steps / one["shared"].steps for one in rounds)
    bounds = {f"{side}_publish_ms": round(median(one.publish_ms for one in some), 2) for side, some in paces.items()}
    result = {
        "bench": "publication",
        "ratios": {name: round(value, 5) for name, value in ratios.items()},
        "bounds": {**bounds, "cores": float(os.cpu_count() or 1)},
        "versions": installed_versions(),
    }
    print(json.dumps(result))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="pairs of rounds, each pair in both orders")
    parser.add_argument("--seconds", type=float, default=15.0, help="length of one round of one side")
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--steps", type=int, default=4, help="steps whose versions are weighed")
    return parser.parse_args()


async def _sample(config: RunConfig, *, num_tasks: int) -> list[TrainableGroup]:
    """Return groups of the policy's own attempts, those with signal."""
    player = build_player(config)
    tasks = load_tasks(player.prototype, "train", num_tasks)
    try:
        attempts = await play_attempts(player, tasks, config, attempts=8, temperature=1.2, seed=1)
    finally:
        await player.engine.close()
    made = [Group(task=task, attempts=tuple(attempts[8 * i : 8 * i + 8])) for i, task in enumerate(tasks)]
    settings = step_settings(config).batch
    return [group for group in map(trainable_group, made) if is_live(group, settings)]


def _settings(config: RunConfig) -> StepSettings:
    """Return settings for rows that another version sampled: the same ones are trained on again and again."""
    return replace(step_settings(config), sampler_gap_warn=1e3, sampler_kl_warn=1e3, max_staleness=64)


def _weigh(
    config: RunConfig, groups: Sequence[TrainableGroup], dtype: Precision, rate: float, *, steps: int
) -> tuple[float, float]:
    """Return the changed share and the weight of a version, means over the steps."""
    policy = load_policy("tiny", dtype=dtype)
    passes = Passes(policy, PassSettings())
    optimizer = Optimizer(policy.model, replace(optimizer_settings(config), learning_rate=rate, warmup_updates=0))
    folder = publication_folder(policy)
    try:
        publisher, replica = Publisher(policy, folder), Replica(load_policy("tiny", dtype=dtype))
        changed: list[float] = []
        weights: list[float] = []
        whole = 1
        for step in range(steps + 1):
            if step:
                take_step(passes, optimizer, groups, _settings(config), step=1)
            publication = publisher.write(step)
            replica.apply(publication, replica.read(publication))
            publisher.accept(publication)
            whole = whole if step else publication.num_bytes
            if step:
                changed.append(publication.num_changed / publication.num_trained)
                weights.append(publication.num_bytes / whole)
        return fmean(changed), fmean(weights)
    finally:
        shutil.rmtree(folder)


async def _race(
    placement: str, groups: Sequence[TrainableGroup], prompts: Sequence[tuple[int, ...]], seconds: float
) -> Pace:
    """Let an engine sample and a learner train at the same time, for so long."""
    config = resolve(RUN, [*ENGINE, f'inference.placement="{placement}"']).config
    player = build_player(config)
    executor = learner_executor(config.learner.num_threads)
    stop = asyncio.Event()
    speaking = [asyncio.create_task(_speak(player.engine, i, prompts, stop)) for i in range(32)]
    try:
        # Everything warm: both have done what they do.
        await _train(player.policy, player.engine, config, groups, executor, seconds=2.0)
        before, started = player.engine.counters.sampled_tokens, time.perf_counter()
        steps, publishing = await _train(player.policy, player.engine, config, groups, executor, seconds=seconds)
        passed = time.perf_counter() - started
        tokens = player.engine.counters.sampled_tokens - before
    finally:
        stop.set()
        await asyncio.gather(*speaking)
        await player.engine.close()
        executor.shutdown()
    pace = Pace(tokens=tokens / passed, steps=steps / passed, publish_ms=1e3 * publishing / steps)
    print(f"{placement:8} {pace.tokens:8.0f} tokens/s {pace.steps:6.2f} steps/s", flush=True)
    return pace


async def _train(
    policy: Policy,
    engine: LocalEngine | ProcessEngine,
    config: RunConfig,
    groups: Sequence[TrainableGroup],
    executor: ThreadPoolExecutor,
    *,
    seconds: float,
) -> tuple[int, float]:
    """Train and publish; return how many steps, and the seconds that publishing took."""
    passes = Passes(policy, PassSettings())
    optimizer = Optimizer(policy.model, replace(optimizer_settings(config), learning_rate=1e-6, warmup_updates=0))
    settings, loop = _settings(config), asyncio.get_running_loop()
    steps, publishing, end = 0, 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end or not steps:
        hold = Hold(engine) if isinstance(engine, LocalEngine) else None
        await loop.run_in_executor(
            executor,
            lambda hold=hold: take_step(passes, optimizer, groups, settings, step=1, exclusive=hold or UNDISTURBED),
        )
        steps += 1
        started = time.perf_counter()
        await engine.publish(engine.policy_version + 1)
        publishing += time.perf_counter() - started
        if hold is not None:
            await hold.release()
    return steps, publishing


async def _speak(
    engine: LocalEngine | ProcessEngine, number: int, prompts: Sequence[tuple[int, ...]], stop: asyncio.Event
) -> None:
    """Ask one thing after the other, each an episode of its own."""
    turn = 0
    while not stop.is_set():
        key = EpisodeKey(task_id=str(number), attempt=turn)
        engine.open_episode(key)
        prompt = prompts[(number + 32 * turn) % len(prompts)]
        request = GenerationRequest(
            key=key, turn=0, prompt_token_ids=prompt, max_tokens=REPLY_TOKENS, sampling_key=turn * 64 + number
        )
        await engine.generate(request)
        engine.close_episode(key)
        turn += 1


if __name__ == "__main__":
    main()
