"""Plays the same episodes under each context policy and prints what each costs: the table of context.md.

The episodes are those of an environment's oracle, with the tokens of the shipped policy; a request for notes is
answered with a sentence. So all policies take the same steps, and only what they show of them differs.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from statistics import fmean

from turnwright.agents.builtin import LoopLimits
from turnwright.agents.context import NOTES_WANTED, ContextLimits
from turnwright.core.group import Attempt
from turnwright.core.task import Task
from turnwright.environments.base import Environment
from turnwright.environments.load import load_environment
from turnwright.gateway.sampling import SamplingLimits
from turnwright.inference.base import GenerationRequest
from turnwright.inference.scripted import ScriptedEngine
from turnwright.models.paths import resolve_model_path
from turnwright.rendering.renderer import Renderer
from turnwright.rollout.collector import CollectorSettings, Wanted
from turnwright.rollout.demonstrations import run_script
from turnwright.rollout.inprocess import InProcessRunner
from turnwright.rollout.metrics import attempt_metrics
from turnwright.rollout.runner import EpisodeLimits
from turnwright.rollout.tokens import cut_rows
from turnwright.rollout.trainable import token_metrics

ENVIRONMENT = "hangar_inspection"
NUM_TASKS = 20
SEED = 1
NOTES = "The caller's account and device are known; the screens so far point to one cause, which is checked next."
SEQUENCE_LIMIT = 5000
MOST_SAMPLED = 256
WHEN_LONG = ContextLimits(context_tokens=4600, keep_results=2, max_prompt_tokens=SEQUENCE_LIMIT - MOST_SAMPLED)
POLICIES = {
    "none": ContextLimits(),
    "cap_tool_output": ContextLimits(policy="cap_tool_output", tool_output_tokens=120),
    "drop_oldest": replace(WHEN_LONG, policy="drop_oldest"),
    "summarise": replace(WHEN_LONG, policy="summarise"),
}
COLUMNS = ("policy", "finished", "longest prompt", "calls", "forks", "row tokens", "prefill", "refilled", "sampled")


def main() -> None:
    """Print the table."""
    print("\n".join(table()))


def table() -> list[str]:
    """Return the lines of the table: which share finished, and means over all episodes."""
    renderer, environment = Renderer.load(resolve_model_path("tiny")), load_environment(ENVIRONMENT)
    tasks = list(islice(environment.tasks("test"), NUM_TASKS))
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for name, limits in POLICIES.items():
        attempts = [asyncio.run(play(environment, task, limits, renderer)) for task in tasks]
        finished, *means = measure(attempts)
        lines.append(f"| `{name}` | {finished:.0%} | {' | '.join(f'{mean:,.1f}' for mean in means)} |")
    return lines


async def play(environment: Environment, task: Task, limits: ContextLimits, renderer: Renderer) -> Attempt:
    """Play one task with the oracle's replies."""
    oracle = await run_script(environment, task, "oracle", seed=SEED)
    replies = iter([renderer.decode(renderer.reply_ids(turn.reply)[:-1]) for turn in oracle.turns])

    def script(request: GenerationRequest) -> str:
        end = renderer.decode(request.prompt_token_ids[-400:])
        return NOTES if NOTES_WANTED[-40:] in end.rpartition("user\n")[2] else next(replies)

    engine = ScriptedEngine(renderer.tokenizer, script, max_sequence_length=SEQUENCE_LIMIT)
    loop = LoopLimits(max_turns=40, max_sequence_length=SEQUENCE_LIMIT, context=limits)
    settings = CollectorSettings(
        seed=SEED, sampling=SamplingLimits(max_tokens=MOST_SAMPLED), limits=EpisodeLimits(loop=loop)
    )
    wanted = Wanted(task=task, attempt=0)
    engine.open_episode(wanted.key)
    with ThreadPoolExecutor(max_workers=1) as executor:
        runner = InProcessRunner(prototype=environment, renderer=renderer, engine=engine)
        return await runner.run(wanted, settings, executor)


def measure(attempts: list[Attempt]) -> list[float]:
    """Return the numbers of one line, in the order of COLUMNS."""
    rows = [row for attempt in attempts for row in cut_rows(attempt.trajectory)]
    tokens, played = token_metrics(attempts, rows), attempt_metrics(attempts, "rollout")
    assert tokens["training/delivered_fraction"] == 1.0
    number = len(attempts)
    return [
        played["rollout/completion_frac"],
        fmean(max(len(turn.prompt_token_ids) for turn in attempt.trajectory.turns) for attempt in attempts),
        fmean(len(attempt.trajectory.turns) for attempt in attempts),
        tokens["training/turns_fork"] / number,
        sum(len(row.token_ids) for row in rows) / number,
        tokens["cost/prefill_tokens"] / number,
        played.get("rollout/context/refilled_tokens", 0.0),
        tokens["cost/sampled_tokens"] / number,
    ]


if __name__ == "__main__":
    main()
