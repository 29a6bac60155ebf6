"""Evaluations on disk, of a policy with a known skill."""

from pathlib import Path

from turnwright.core.episode import Episode, EpisodeKey, Turn
from turnwright.core.message import Message
from turnwright.core.outcome import Rewarded
from turnwright.core.task import Task
from turnwright.evaluation.evaluator import Evaluation, score_episodes, summarise
from turnwright.evaluation.scorers import FinalOutputScorer
from turnwright.evaluation.store import write_evaluation
from turnwright.evaluation.suites import Suite

SUITE = Suite(name="test", environment="desk", attempts=1, greedy=False, resamples=200)
TASKS = tuple(Task(id=f"t{i}", prompt=f"{i}", data={"gold": {"word": "yes"}}, split="test") for i in range(30))
SCORER = FinalOutputScorer({"word": ("yes", "no")})


def save_evaluation(folder: Path, *, right: int, tasks: tuple[Task, ...] = TASKS) -> Path:
    """Write an evaluation in which the first ``right`` tasks are solved."""
    sampled = score_episodes((play(task, right=i < right) for i, task in enumerate(tasks)), SCORER)
    result = summarise(SUITE, tasks=tasks, sampled=sampled, checkpoint=folder.name)
    write_evaluation(folder, Evaluation(result=result, sampled=sampled, greedy=()))
    return folder


def play(task: Task, *, right: bool) -> Episode:
    reply = Message(role="assistant", content=f'<final_output>{{"word": "{"yes" if right else "no"}"}}</final_output>')
    return Episode(
        key=EpisodeKey(task_id=task.id, attempt=0),
        task=task,
        opening=(Message(role="user", content=task.prompt),),
        turns=(Turn(reply=reply),),
        outcome=Rewarded(value=float(right)),
    )
