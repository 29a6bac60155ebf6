"""Builds the shipped policy from nothing: tokenizer, random weights, supervised learning on generated procedures.

    python -m turnwright.policies.build [FOLDER]          (make policy; without a folder the shipped one is replaced)

It learns skills only - calling tools, copying ids, reading results, trying a busy tool again, deciding by written
rules - from procedures that are each made for one demonstration and never come back. Three stages of growing size let
copying form on short texts first. ``build.json`` in the folder says how the weights came about, and their hash; the
same versions on the same processor give the same hash, others the same skill.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path

from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM, set_seed

from turnwright.core.trajectory import Demonstration
from turnwright.environments.gallery.procedures.environment import GeneratedProcedures, demonstration_texts
from turnwright.learner.checkpointing import save_policy
from turnwright.learner.optimizer import Optimizer, OptimizerSettings
from turnwright.learner.warmstart import supervise
from turnwright.models.load import load_policy, require_determinism
from turnwright.models.paths import resolve_model_path
from turnwright.policies.tokenizer import PAD, TURN_END, build_tokenizer
from turnwright.rendering.renderer import Renderer
from turnwright.rollout.demonstrations import demonstrate
from turnwright.rundir.manifest import installed_versions

VOCABULARY = 1024
BATCH_SIZE = 32
LEARNING_RATE = 4e-3
ANSWER_WEIGHT = 2.0
REPORT_EVERY = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Updates on procedures of at most this size."""

    updates: int
    max_lookups: int
    max_fields: int


STAGES = (
    Stage(updates=200, max_lookups=1, max_fields=1),
    Stage(updates=300, max_lookups=2, max_fields=2),
    Stage(updates=1100, max_lookups=3, max_fields=3),
)


def architecture(tokenizer: PreTrainedTokenizerFast) -> Qwen3Config:
    """Return the Qwen3 architecture of the shipped policy: 0.92 million parameters.

    Weights start four times wider than Hugging Face's default: at this size the circuits that copy do not form
    otherwise.
    """
    return Qwen3Config(
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        intermediate_size=384,
        vocab_size=len(tokenizer),
        tie_word_embeddings=True,
        max_position_embeddings=2048,
        initializer_range=0.08,
        bos_token_id=None,
        eos_token_id=tokenizer.get_vocab()[TURN_END],
        pad_token_id=tokenizer.get_vocab()[PAD],
    )


def build(folder: Path) -> None:
    """Build the policy and save it in ``folder``."""
    started = time.perf_counter()
    set_seed(0)
    require_determinism()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer(demonstration_texts(GeneratedProcedures(seed=7, size=3000), 3000), VOCABULARY)
    tokenizer.save_pretrained(folder)
    Qwen3ForCausalLM(architecture(tokenizer)).save_pretrained(folder)
    policy, renderer = load_policy(str(folder)), Renderer.load(folder)
    num_updates = sum(stage.updates for stage in STAGES)
    optimizer = Optimizer(
        policy.model,
        OptimizerSettings(
            learning_rate=LEARNING_RATE, num_updates=num_updates, warmup_updates=20, lr_schedule="linear", beta2=0.99
        ),
    )
    batches = chain.from_iterable(_batches(stage, seed, renderer) for seed, stage in enumerate(STAGES, start=1))
    losses: list[float] = []
    for update in supervise(policy, batches, optimizer, tokens_per_microbatch=8192):
        losses.append(update.loss)
        if update.update % REPORT_EVERY == 0:
            mean = sum(losses[-REPORT_EVERY:]) / REPORT_EVERY
            seconds = time.perf_counter() - started
            print(f"update {update.update}/{num_updates}  loss {mean:.4f}  {seconds:.0f} s", flush=True)  # noqa: T201
    save_policy(policy, renderer.tokenizer, folder)
    record = {
        "command": "python -m turnwright.policies.build",
        "updates": num_updates,
        "demonstrations": num_updates * BATCH_SIZE,
        "final_loss": round(sum(losses[-REPORT_EVERY:]) / REPORT_EVERY, 4),
        "seconds": round(time.perf_counter() - started),
        "sha256": {name: hash_file(folder / name) for name in ("model.safetensors", "tokenizer.json")},
        "versions": installed_versions(),
    }
    (folder / "build.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    return sha256(path.read_bytes()).hexdigest()


def _batches(stage: Stage, seed: int, renderer: Renderer) -> Iterator[list[Demonstration]]:
    environment = GeneratedProcedures(
        seed=seed, size=stage.updates * BATCH_SIZE, max_lookups=stage.max_lookups, max_fields=stage.max_fields
    )
    tasks = environment.tasks("train")
    loop = asyncio.new_event_loop()
    try:
        for _ in range(stage.updates):
            yield [
                loop.run_until_complete(
                    demonstrate(environment, task, "oracle", renderer, seed=0, answer_weight=ANSWER_WEIGHT)
                )
                for task in islice(tasks, BATCH_SIZE)
            ]
    finally:
        loop.close()


if __name__ == "__main__":
    build(Path(sys.argv[1] if len(sys.argv) > 1 else resolve_model_path("tiny")))
