"""Evaluations on disk: one folder each, below ``evaluations/`` of a run directory or anywhere else.

result.json     the EvaluationResult      sampled.jsonl, greedy.jsonl     the episodes behind it, with their scores
sop.json        of SOP-Bench environments: what the original would have measured on the sampled episodes
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from turnwright.core.episode import Episode
from turnwright.core.errors import RunDirectoryError
from turnwright.evaluation.evaluator import Evaluation
from turnwright.evaluation.result import EvaluationResult
from turnwright.evaluation.sop_metrics import SopMeasures, measure_sop
from turnwright.rundir.files import read_lines, write_atomic
from turnwright.rundir.records import decode_episode, encode

RESULT = "result.json"
SAMPLED = "sampled.jsonl"
GREEDY = "greedy.jsonl"
SOP_MEASURES = "sop.json"


def write_evaluation(folder: Path, evaluation: Evaluation) -> None:
    """Write an evaluation; the result comes last, so that a folder with a result is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULT).unlink(missing_ok=True)
    write_atomic(folder / SAMPLED, _lines(evaluation.sampled))
    write_atomic(folder / GREEDY, _lines(evaluation.greedy))
    measures = measure_sop(evaluation.result.environment, evaluation.sampled)
    if measures is not None:
        write_atomic(folder / SOP_MEASURES, measures.to_json())
    write_atomic(folder / RESULT, evaluation.result.to_json())


def read_result(folder: Path) -> EvaluationResult:
    """Return the result in a folder.

    Raises:
        RunDirectoryError: there is none, or it cannot be read.
    """
    path = folder / RESULT
    if not path.is_file():
        raise RunDirectoryError(f"'{folder}' holds no evaluation: expected {RESULT}; write one with turnwright eval")
    return EvaluationResult.from_json(path.read_text(encoding="utf-8"), where=f"'{path}'")


def read_sop_measures(folder: Path) -> SopMeasures | None:
    """Return the measures of a SOP-Bench environment in a folder; None where there are none.

    Raises:
        RunDirectoryError: they cannot be read.
    """
    path = folder / SOP_MEASURES
    if not path.is_file():
        return None
    try:
        return SopMeasures.from_json(path.read_text(encoding="utf-8"))
    except (ValueError, TypeError) as error:
        raise RunDirectoryError(f"'{path}' is not what this version writes: {error}; evaluate again") from error


def read_episodes(folder: Path, name: str = SAMPLED) -> Iterator[Episode]:
    """Yield the episodes of an evaluation, in the order they were collected; none when the file is missing."""
    return map(decode_episode, read_lines(folder / name))


def _lines(episodes: Sequence[Episode]) -> bytes:
    return b"".join(encode(episode) + b"\n" for episode in episodes)
