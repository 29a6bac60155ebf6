"""Multi-turn episodes against an engine, and the plain forward pass their log-probabilities must agree with."""

import asyncio
import random
from dataclasses import dataclass, field

import torch

from models.tiny import VOCABULARY, stock_twin
from turnwright.core.episode import EpisodeKey
from turnwright.core.seeding import derive_key
from turnwright.inference.base import Generation, GenerationRequest
from turnwright.inference.local import LocalEngine
from turnwright.models.load import Policy

STOP = 7


@dataclass(frozen=True, kw_only=True)
class Plan:
    """An episode: its opening and the ids that follow each reply."""

    key: EpisodeKey
    opening: tuple[int, ...]
    forced: tuple[tuple[int, ...], ...]
    shared: int = 0
    max_tokens: int = 9
    temperature: float = 1.0
    top_p: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Played:
    """A turn that happened."""

    request: GenerationRequest
    generation: Generation


@dataclass(kw_only=True)
class Pauses:
    """How often an episode lets others go first, drawn per seed; none without one."""

    seed: int | None = None
    seconds: float = 0
    """Length of one."""
    generator: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.generator = random.Random(self.seed)

    async def take(self) -> None:
        if self.seed is not None:
            for _ in range(self.generator.randrange(12)):
                await asyncio.sleep(self.seconds)


def make_request(plan: Plan, turn: int, prompt: tuple[int, ...]) -> GenerationRequest:
    return GenerationRequest(
        key=plan.key,
        turn=turn,
        prompt_token_ids=prompt,
        shared_prefix_length=plan.shared,
        max_tokens=plan.max_tokens,
        temperature=plan.temperature,
        top_p=plan.top_p,
        stop_token_ids=frozenset({STOP}),
        sampling_key=derive_key(1, plan.key.task_id, plan.key.attempt, turn),
    )


async def play(engine: LocalEngine, plan: Plan, pauses: Pauses | None = None) -> list[Played]:
    """Play one episode turn by turn and close it."""
    pauses = pauses or Pauses()
    engine.open_episode(plan.key)
    try:
        return await play_opened(engine, plan, pauses)
    finally:
        engine.close_episode(plan.key)


async def play_opened(engine: LocalEngine, plan: Plan, pauses: Pauses) -> list[Played]:
    played: list[Played] = []
    prompt = plan.opening
    for turn in range(len(plan.forced) + 1):
        await pauses.take()
        request = make_request(plan, turn, prompt)
        generation = await engine.generate(request)
        played.append(Played(request=request, generation=generation))
        if turn < len(plan.forced):
            prompt = prompt + generation.token_ids + plan.forced[turn]
    return played


def mixed_plans(seed: int, *, tasks: int = 4, attempts: int = 3) -> list[Plan]:
    """Return groups of attempts: some behind a shared prefix, prompts and turns of unequal length."""
    generator = random.Random(seed)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(generator.randrange(8, VOCABULARY) for _ in range(count))

    systems = (ids(30), ids(22), ())
    plans: list[Plan] = []
    for task in range(tasks):
        system = systems[task % len(systems)]
        opening = system + ids(generator.randint(1, 20))
        for attempt in range(attempts):
            forced = tuple(ids(generator.randint(1, 9)) for _ in range(generator.randint(0, 3)))
            key = EpisodeKey(task_id=f"task-{task}", attempt=attempt)
            plans.append(Plan(key=key, opening=opening, forced=forced, shared=len(system)))
    return plans


def play_all(engine: LocalEngine, plans: list[Plan], *, seed: int | None = None) -> list[list[Played]]:
    """Play all plans at once and close the engine."""

    async def run() -> list[list[Played]]:
        try:
            return await asyncio.gather(
                *(play(engine, plan, Pauses(seed=None if seed is None else seed + i)) for i, plan in enumerate(plans))
            )
        finally:
            await engine.close()

    return asyncio.run(run())


def worst_gap(policy: Policy, episodes: list[list[Played]]) -> float:
    """Return the largest |engine - plain forward| over all sampled tokens at temperature 1 and top_p 1."""
    twin = stock_twin(policy)
    worst = 0.0
    for episode in episodes:
        for played in episode:
            prompt, sampled = played.request.prompt_token_ids, played.generation.token_ids
            with torch.no_grad():
                logits = twin(input_ids=torch.tensor([[*prompt, *sampled]])).logits[0]
            exact = logits.log_softmax(-1)[len(prompt) - 1 : -1].gather(1, torch.tensor(sampled)[:, None])[:, 0]
            worst = max(worst, (exact - torch.tensor(played.generation.logprobs)).abs().max().item())
    return worst


def tokens_of(episodes: list[list[Played]]) -> list[list[tuple[int, ...]]]:
    return [[played.generation.token_ids for played in episode] for episode in episodes]
