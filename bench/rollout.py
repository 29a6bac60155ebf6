"""Sampled tokens per second on the demo's multi-turn work, against two yardsticks measured in the same run.

    vs_generate             ours / ``transformers.generate`` in lock step over the same episodes (peers/generate.py)
    share_of_decode_bound   bound / ours, in seconds, where the bound is the time of
                            decoding as many tokens at full batch and at the episodes' mean context length
                            + prefilling every distinct forced token once, both at rates of our engine's own passes

One round plays all episodes of a training step with ours, measures the bound's rates, and plays them with the peer:
agents, tools, recorder and rendering are the same on both sides and inside both times. Numbers are medians over rounds.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch
from peers.generate import LockStepEngine
from transformers.utils import logging as transformers_logging

from turnwright.config import RunConfig, resolve
from turnwright.core.episode import EpisodeKey
from turnwright.core.group import Attempt
from turnwright.gateway.recorder import SamplingLimits
from turnwright.inference.base import Engine, GenerationRequest
from turnwright.inference.local import LocalEngine
from turnwright.launch.player import Player, build_player, load_tasks
from turnwright.rollout.collector import CollectorSettings, Wanted, collect_attempts
from turnwright.rollout.inprocess import InProcessRunner
from turnwright.rundir.manifest import installed_versions

RUN = Path(__file__).parents[1] / "examples" / "returns_desk" / "run.toml"
TARGETS = {"vs_generate": 3.0, "share_of_decode_bound": 0.6}
PROBE_STEPS = 48
PREFILL_TOKENS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the episodes of one round made an engine do."""

    seconds: float
    sampled: int
    forced: int
    """Distinct (token, prefix) pairs that were not sampled."""
    mean_context: float
    """Tokens before a sampled one."""
    shared: int
    """Leading tokens that all prompts have in common."""

    @property
    def rate(self) -> float:
        """Sampled tokens per second."""
        return self.sampled / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round, measured back to back, so that a machine whose speed drifts slows all of it."""

    ours: Work
    theirs: Work
    decode: float
    """Tokens per second of our engine at full batch and at the mean context of the round."""
    prefill: float
    """Tokens per second of our engine's extending passes."""

    @property
    def bound(self) -> float:
        """Seconds that ours could not do without."""
        return self.ours.sampled / self.decode + self.ours.forced / self.prefill


def main() -> None:
    """Measure and print."""
    options = _options()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    config = resolve(RUN, [f'model.path="{options.model}"']).config
    player = build_player(config)
    tasks = load_tasks(player.prototype, "train", options.tasks)
    wanted = [Wanted(task=task, attempt=i) for task in tasks for i in range(options.group_size)]
    peer = LockStepEngine(
        player.policy.path,
        max_sequence_length=player.engine.max_sequence_length,
        pad_token_id=player.renderer.tokenizer.pad_token_id or 0,
    )
    asyncio.run(_warm_up(player, peer, wanted[:: options.group_size], config))
    rounds = asyncio.run(_rounds(player, peer, wanted, config, options.rounds))
    ratios = {
        "vs_generate": median(one.ours.rate for one in rounds) / median(one.theirs.rate for one in rounds),
        "share_of_decode_bound": median(one.bound / one.ours.seconds for one in rounds),
    }
    _print_table(rounds, ratios)
    result = {
        "bench": "rollout",
        "ratios": {name: round(value, 3) for name, value in ratios.items()},
        "bounds": {
            **TARGETS,
            "decode_tokens_per_s": round(median(one.decode for one in rounds)),
            "prefill_tokens_per_s": round(median(one.prefill for one in rounds)),
            "bound_s": round(median(one.bound for one in rounds), 3),
        },
        "versions": installed_versions(),
    }
    print(json.dumps(result))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", help="the shipped policy or a folder in Hugging Face format")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=16)
    parser.add_argument("--group-size", type=int, default=8)
    return parser.parse_args()


async def _warm_up(player: Player, peer: LockStepEngine, wanted: Sequence[Wanted], config: RunConfig) -> None:
    """Let lazy initialisation and caches of rendering happen before anything is timed."""
    await _play(player, _engine(player, config), wanted, config, seed=0)
    await _play(player, peer, wanted, config, seed=0)


async def _rounds(
    player: Player, peer: LockStepEngine, wanted: Sequence[Wanted], config: RunConfig, count: int
) -> list[Round]:
    rounds: list[Round] = []
    for seed in range(1, count + 1):
        ours = await _play(player, _engine(player, config), wanted, config, seed=seed)
        decode, prefill = await _rates(player, config, ours, batch=len(wanted))
        theirs = await _play(player, peer, wanted, config, seed=seed)
        rounds.append(Round(ours=ours, theirs=theirs, decode=decode, prefill=prefill))
        print(
            f"round {seed}: ours {ours.rate:.0f}, generate {theirs.rate:.0f} sampled tokens/s, "
            f"bound / ours {rounds[-1].bound / ours.seconds:.2f}",
            flush=True,
        )
    return rounds


def _engine(player: Player, config: RunConfig) -> LocalEngine:
    """Return a fresh engine, so that no round finds the KV of the one before."""
    return LocalEngine(
        player.policy,
        kv_memory_mb=config.inference.kv_memory_mb,
        max_slots=config.rollout.rollout_max_concurrency,
        max_sequence_length=config.sampling.max_sequence_length,
    )


async def _play(player: Player, engine: Engine, wanted: Sequence[Wanted], config: RunConfig, *, seed: int) -> Work:
    """Play all episodes at once and say what that took."""
    settings = CollectorSettings(
        seed=seed,
        sampling=SamplingLimits(temperature=1.0, max_tokens=config.sampling.sampling_max_tokens),
        limits=replace(player.limits, timeout_seconds=None),
        max_concurrency=len(wanted),
        max_retries=0,
    )
    started = time.perf_counter()
    attempts = await collect_attempts(
        InProcessRunner(prototype=player.prototype, renderer=player.renderer, engine=engine), wanted, settings
    )
    seconds = time.perf_counter() - started
    if isinstance(engine, LocalEngine):
        await engine.close()
    return _count(attempts, seconds)


def _count(attempts: Sequence[Attempt], seconds: float) -> Work:
    turns = [turn for attempt in attempts for turn in attempt.trajectory.turns]
    forced: set[int] = set()
    for attempt in attempts:
        start = 0
        for turn in attempt.trajectory.turns:
            prefix = hash(turn.prompt_token_ids[:start])
            for token in turn.prompt_token_ids[start:]:
                prefix = hash((prefix, token))
                forced.add(prefix)
            start = len(turn.prompt_token_ids) + len(turn.sampled_token_ids)
    sampled = sum(len(turn.sampled_token_ids) for turn in turns)
    context = sum(
        len(turn.sampled_token_ids) * (len(turn.prompt_token_ids) + (len(turn.sampled_token_ids) - 1) / 2)
        for turn in turns
    )
    prompts = [attempt.trajectory.turns[0].prompt_token_ids for attempt in attempts]
    shortest, longest = min(prompts), max(prompts)
    shared = next((i for i, (one, other) in enumerate(zip(shortest, longest, strict=False)) if one != other), 0)
    return Work(seconds=seconds, sampled=sampled, forced=len(forced), mean_context=context / sampled, shared=shared)


async def _rates(player: Player, config: RunConfig, work: Work, *, batch: int) -> tuple[float, float]:
    """Return tokens per second of full-batch decoding at the mean context, and of prefill, by our engine's passes."""
    engine = _engine(player, config)
    batch = min(batch, engine.num_slots)
    vocabulary = len(player.renderer.tokenizer)
    torch.manual_seed(0)
    # Half of the probe comes after the middle, so that its mean context is the episodes'.
    length = max(2, round(work.mean_context) - PROBE_STEPS // 2)
    system = torch.randint(vocabulary, (min(work.shared, length - 1),)).tolist()
    prompts = [(*system, *torch.randint(vocabulary, (length - len(system),)).tolist()) for _ in range(batch)]
    keys = [EpisodeKey(task_id=f"decode-{i}", attempt=0) for i in range(batch)]
    decode: list[float] = []
    for key in keys:
        engine.open_episode(key)
    for max_tokens in (1, PROBE_STEPS, PROBE_STEPS, PROBE_STEPS):
        started = time.perf_counter()
        await asyncio.gather(
            *(
                engine.generate(_probe(key, prompt, shared=len(system), max_tokens=max_tokens))
                for key, prompt in zip(keys, prompts, strict=True)
            )
        )
        # The first request leaves all but the last id of the prompt in the slot; the others only decode.
        if max_tokens > 1:
            decode.append(batch * max_tokens / (time.perf_counter() - started))
    for key in keys:
        engine.close_episode(key)
    prefill: list[float] = []
    rows = max(1, PREFILL_TOKENS // length)
    for number in range(4):
        fresh = [EpisodeKey(task_id=f"prefill-{number}-{i}", attempt=0) for i in range(rows)]
        for key in fresh:
            engine.open_episode(key)
        prompts = [tuple(torch.randint(vocabulary, (length,)).tolist()) for _ in fresh]
        started = time.perf_counter()
        await asyncio.gather(
            *(engine.generate(_probe(key, ids, max_tokens=1)) for key, ids in zip(fresh, prompts, strict=True))
        )
        prefill.append(rows * length / (time.perf_counter() - started))
        for key in fresh:
            engine.close_episode(key)
    await engine.close()
    return median(decode), median(prefill)


def _probe(key: EpisodeKey, prompt: tuple[int, ...], *, shared: int = 0, max_tokens: int) -> GenerationRequest:
    return GenerationRequest(
        key=key, turn=0, prompt_token_ids=prompt, shared_prefix_length=shared, max_tokens=max_tokens
    )


def _print_table(rounds: Sequence[Round], ratios: dict[str, float]) -> None:
    print(f"{'':24}{'seconds':>10}{'sampled':>10}{'forced':>10}{'context':>10}{'tokens/s':>10}")
    works = {"ours": [one.ours for one in rounds], "generate in lock step": [one.theirs for one in rounds]}
    for name, some in works.items():
        counts = (
            median(one.sampled for one in some),
            median(one.forced for one in some),
            median(one.mean_context for one in some),
            median(one.rate for one in some),
        )
        print(f"{name:24}{median(one.seconds for one in some):10.2f}" + "".join(f"{value:10.0f}" for value in counts))
    decode, prefill = median(one.decode for one in rounds), median(one.prefill for one in rounds)
    bound = median(one.bound for one in rounds)
    print(f"{'bound':24}{bound:10.2f}   decode {decode:.0f} tokens/s, prefill {prefill:.0f} tokens/s")
    for name, value in ratios.items():
        print(f"{name:24}{value:10.2f}   target {TARGETS[name]:g}")


if __name__ == "__main__":
    main()
