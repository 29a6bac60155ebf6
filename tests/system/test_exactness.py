"""The engine's log-probabilities against a stock fp32 forward pass, over everything a hundred real episodes sampled."""

import asyncio

import pytest
import torch
from transformers import AutoModelForCausalLM

from turnwright.agents.builtin import LoopLimits
from turnwright.core.group import Attempt
from turnwright.environments.gallery.returns_desk.environment import ReturnsDesk
from turnwright.gateway.recorder import SamplingLimits
from turnwright.inference.local import LocalEngine
from turnwright.inference.local_sequences import EngineCounters
from turnwright.models.load import load_policy
from turnwright.models.paths import resolve_model_path
from turnwright.rendering.renderer import Renderer
from turnwright.rollout.collector import CollectorSettings, Wanted, collect_attempts
from turnwright.rollout.inprocess import InProcessRunner
from turnwright.rollout.runner import EpisodeLimits
from turnwright.rollout.tokens import cut_rows

pytestmark = pytest.mark.slow


def play() -> tuple[list[Attempt], EngineCounters]:
    """Play 25 tasks by 4 attempts with fewer slots than episodes, so that some are evicted and fed again."""
    environment = ReturnsDesk(train_tasks=120, validation_tasks=120, test_tasks=120)
    policy = load_policy("tiny", device="cpu")
    renderer = Renderer.load(resolve_model_path("tiny"))
    wanted = [Wanted(task=task, attempt=attempt) for task in environment.tasks("train")[:25] for attempt in range(4)]
    settings = CollectorSettings(
        seed=1,
        sampling=SamplingLimits(max_tokens=48),
        limits=EpisodeLimits(loop=LoopLimits(max_turns=8)),
        max_concurrency=40,
    )

    async def run() -> tuple[list[Attempt], EngineCounters]:
        engine = LocalEngine(policy, max_slots=24, max_sequence_length=896)
        try:
            runner = InProcessRunner(prototype=environment, renderer=renderer, engine=engine)
            return await collect_attempts(runner, wanted, settings), engine.counters
        finally:
            await engine.close()

    return asyncio.run(run())


def test_sampled_logprobs_equal_a_plain_forward_pass():
    attempts, counters = play()
    assert counters.evictions > 0
    assert counters.shared_tokens > 0
    stock = AutoModelForCausalLM.from_pretrained(
        resolve_model_path("tiny"), dtype=torch.float32, attn_implementation="eager"
    ).eval()
    gaps: list[torch.Tensor] = []
    for attempt in attempts:
        for row in cut_rows(attempt.trajectory):
            token_ids = torch.tensor([row.token_ids])
            with torch.inference_mode():
                logprobs = stock(input_ids=token_ids, use_cache=False).logits[0, :-1].log_softmax(-1)
            exact = logprobs.gather(1, token_ids[0, 1:, None])[:, 0]
            trained = torch.tensor(row.trained[1:])
            gaps.append((exact - torch.tensor(row.logprobs[1:]))[trained].abs())
    gap = torch.cat(gaps)
    assert len(attempts) == 100
    assert len(gap) == counters.sampled_tokens > 5000
    assert (gap <= 1e-4).double().mean() >= 0.999
    assert gap.max() <= 1e-3
    assert gap.mean() <= 1e-5
