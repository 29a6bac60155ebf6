"""A small run directory, written by the run's own writer: 12 steps, validation, two evaluations, findings."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from turnwright.config import ResolvedConfig, resolve_values
from turnwright.config.resolved import validate
from turnwright.core.episode import Episode, EpisodeKey, ToolOutcome, Turn
from turnwright.core.finding import Finding
from turnwright.core.group import Attempt
from turnwright.core.message import Message, ToolCall
from turnwright.core.outcome import Failed, Rewarded, Truncated
from turnwright.core.task import Task, enter_domain
from turnwright.core.trajectory import Trajectory
from turnwright.evaluation.evaluator import Evaluation, score_episodes, summarise
from turnwright.evaluation.scorers import FinalOutputScorer
from turnwright.evaluation.store import write_evaluation
from turnwright.evaluation.suites import Suite
from turnwright.rundir import Manifest, RunWriter
from turnwright.rundir.records import BatchGroup, BatchRecord

LABELS = {"action": ("refund", "exchange", "reject"), "fee": ("none", "half")}
SCORER = FinalOutputScorer(LABELS)
SUITE = Suite(name="test", environment="returns_desk", attempts=4, resamples=500)
STEPS = 12


def task(number: int, split: str = "test") -> Task:
    gold = {"action": LABELS["action"][number % 3], "fee": LABELS["fee"][number % 2]}
    return Task(
        id=f"{split}-{number}",
        prompt=f"order: K{number % 10}\ncustomer: <b>M{number % 7}</b>",
        data={"gold": gold},
        split=split,  # type: ignore[arg-type]
    )


def play(task: Task, attempt: int, skill: float, *, seed: int = 0) -> Episode:
    """One attempt: right with probability ``skill``, otherwise half right, cut, failed, or fooling the reward."""
    draw = random.Random(f"{seed}-{task.id}-{attempt}")
    gold = dict(task.data["gold"])
    look = Message(role="assistant", tool_calls=(ToolCall(id="c0", name="get_order", arguments='{"order": "K3"}'),))
    result = Message(role="tool", name="get_order", tool_call_id="c0", content='{"error": "busy, try again"}')
    calls = Turn(
        reply=look,
        responses=(result,),
        tools=(ToolOutcome(name="get_order", error=True),),
        num_sampled_tokens=14,
        mean_logprob=-0.31,
    )
    episode = Episode(
        key=EpisodeKey(task_id=task.id, attempt=attempt),
        task=task,
        opening=(
            Message(role="system", content="Follow the procedure.\n" * 40),
            Message(role="user", content=task.prompt),
        ),
        turns=(calls,),
    )
    chance = draw.random()
    if chance > 0.985:
        return replace(episode, outcome=Failed(cause="tool_timeout", detail="tool 'get_order' did not answer"))
    if chance > 0.95:
        return replace(episode, outcome=Truncated(value=-0.1, cause="max_turns"))
    reward = 1.0
    if chance > skill:
        gold["fee"] = "half" if gold["fee"] == "none" else "none"
        reward = 0.5 if chance < 0.93 else 1.0
    answer = "<final_output>{" + ", ".join(f'"{key}": "{value}"' for key, value in gold.items()) + "}</final_output>"
    reply = Message(role="assistant", reasoning="The order is late, so <i>a fee</i> applies.", content=answer)
    last = Turn(reply=reply, num_sampled_tokens=22, mean_logprob=-0.12)
    return replace(episode, turns=(calls, last), outcome=Rewarded(value=reward))


def close_step(writer: RunWriter, step: int, episodes: Sequence[Episode]) -> None:
    """Write the groups of a step, with their attempts, and close it."""
    attempts = [Attempt(episode=episode, trajectory=Trajectory(key=episode.key)) for episode in episodes]
    groups: dict[str, BatchGroup] = {}
    for attempt in attempts:
        one = attempt.episode.task
        if one.id not in groups:
            number = 100 * step + len(groups)
            group = BatchGroup(number=number, task=one.id, domain=one.domain or "", epoch=0, fate="trained")
            groups[one.id] = group
            writer.open_group(group)
        writer.attempt(groups[one.id].number, attempt)
    writer.close_step(BatchRecord(step=step, groups=tuple(groups.values())), attempts)


@pytest.fixture(scope="session")
def empty_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs") / "empty"
    config = ResolvedConfig(config=validate({"environment": {"name": "returns_desk"}}), sources={})
    with RunWriter.create(root, config=config, manifest=Manifest(name="empty", created="2026-01-01", seed=1, host="h")):
        pass
    return root


@pytest.fixture(scope="session")
def write_run() -> Callable[[Path], Path]:
    return _write_run


@pytest.fixture(scope="session")
def full_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write_run(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="session")
def mixed_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three steps over two domains, one better than the other, and evaluations before and after."""
    root = tmp_path_factory.mktemp("runs") / "mixed"
    members = {domain: {"name": "returns_desk", "options": {}} for domain in ("returns", "words")}
    config = resolve_values({"environment": {"mixture": members}}, source="argument")
    manifest = Manifest(name="mixed", created="2026-01-01", seed=1, host="laptop")
    skills = {"returns": 0.8, "words": 0.3}

    def play_all(split: str, numbers: range, step: int, attempts: int) -> list[Episode]:
        return [
            play(enter_domain(task(number, split), domain), attempt, skill, seed=step)
            for number in numbers
            for domain, skill in skills.items()
            for attempt in range(attempts)
        ]

    with RunWriter.create(root, config=config, manifest=manifest) as writer:
        for step in range(1, 4):
            close_step(writer, step, play_all("train", range(4 * step, 4 * step + 4), step, 4))
            for episode in score_episodes(play_all("validation", range(12), step, 1), SCORER):
                writer.validation(step, episode)
            groups = {f"{domain}/rollout/groups": 4.0 for domain in skills}
            writer.metrics(step, {"training/num_groups": 8.0, **groups})
    suite = replace(SUITE, options=members, scorers=dict.fromkeys(skills, "final_output"))
    tasks = [enter_domain(task(number), domain) for number in range(20) for domain in skills]
    for step, name in ((0, "base"), (3, "tuned")):
        sampled = score_episodes(play_all("test", range(20), step, 2), SCORER)
        result = summarise(suite, tasks=tasks, sampled=sampled, checkpoint=name, step=step)
        write_evaluation(root / "evaluations" / name, Evaluation(result=result, sampled=sampled, greedy=()))
    return root


def _write_run(root: Path) -> Path:
    config = ResolvedConfig(
        config=validate({"environment": {"name": "returns_desk"}, "algorithm": {"group_size": 4}}),
        sources={"environment.name": "run.toml", "algorithm.group_size": "override"},
    )
    manifest = Manifest(
        name="demo",
        created="2026-01-01T10:00:00+00:00",
        seed=1,
        host="laptop",
        command=("turnwright", "train", "run.toml", "algorithm.group_size=4"),
        git_sha="0123456789abcdef",
        versions={"python": "3.11.9", "torch": "2.13.0"},
    )
    text = '[environment]\nname = "returns_desk"\n'
    with RunWriter.create(root, config=config, manifest=manifest, config_text=text) as writer:
        for step in range(STEPS + 1):
            skill = 0.3 + 0.55 * (1 - math.exp(-step / 4))
            if step % 4 == 0:
                for number in range(24):
                    found = score_episodes([play(task(number, "validation"), 0, skill, seed=step)], SCORER)[0]
                    writer.validation(step, found)
            if step:
                tasks = [task(8 * step + number, "train") for number in range(8)]
                close_step(writer, step, [play(one, a, skill, seed=step) for one in tasks for a in range(4)])
                writer.metrics(step, _metrics(step))
        writer.finding(
            Finding(
                code="rollout.tool_errors",
                severity="warning",
                where="rollout/tools/error_frac",
                evidence="31 % of tool calls are answered with an error.",
                cure="Look at the episodes: the agent repeats a busy call.",
            )
        )
        writer.status("finished", STEPS)
    tasks = [task(number) for number in range(40)]
    for step, name, skill in ((0, "base", 0.35), (STEPS, "tuned", 0.86)):
        sampled = score_episodes([play(one, a, skill, seed=step) for one in tasks for a in range(4)], SCORER)
        greedy = score_episodes([play(one, 0, skill, seed=step + 99) for one in tasks], SCORER)
        checkpoint = f"checkpoints/step_{step:06d}"
        result = summarise(SUITE, tasks=tasks, sampled=sampled, greedy=greedy, checkpoint=checkpoint, step=step)
        write_evaluation(root / "evaluations" / name, Evaluation(result=result, sampled=sampled, greedy=greedy))
    return root


def _metrics(step: int) -> dict[str, float]:
    return {
        "rollout/outcome/rewarded_frac": 0.95,
        "rollout/outcome/truncated_frac": 0.04,
        "rollout/outcome/failed_frac": 0.01,
        "rollout/tokens/response_mean": 60 - step,
        "rollout/turns/mean": 4.2,
        "training/entropy": 0.6 * math.exp(-step / 8),
        "training/kl_to_sampler": 1e-5 * step,
        "training/ratio/mean": 1.0,
        "training/ratio/max": 1.0 + 0.02 * step,
        "training/grad_norm": 0.8 if step != 5 else math.nan,
        "analysis/live_groups": 5.0,
        "timing_s/step": 6.5,
    }
