"""Scorers: what success means, independent of the reward. An episode flows in, a Score flows out.

Nothing here imports an environment: a scorer reads messages and the task's ground truth, as any outsider could.
"""

import json
import re
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, Protocol

from turnwright.core.episode import Episode
from turnwright.core.errors import DatasetError
from turnwright.core.outcome import Failed
from turnwright.core.score import Score
from turnwright.core.task import Task

OPENING_TAG = "<final_output>"
CLOSING_TAG = "</final_output>"
TAG = re.compile(r"</?\s*[A-Za-z_][\w.:-]*(?:\s[^<>]*)?/?>|\[/?think\]|\u25c1/?think\u25b7", re.IGNORECASE)
"""Anything that opens or closes a section, reasoning in square brackets included."""
REASONING_END = re.compile(
    r"</\s*(?:think|thinking|thoughts?|reasoning|reflection|scratchpad)\s*>|\[/think\]|\u25c1/think\u25b7",
    re.IGNORECASE,
)
NULL_WORDS = frozenset({"null", "none", "n/a"})


class Scorer(Protocol):
    """Judges one finished episode."""

    def score(self, episode: Episode) -> Score:
        """Return the verdict. Never called for a failed episode."""
        ...


class FinalOutputScorer:
    """The strict grader: one answer block, one JSON object, exact match of every field within a closed vocabulary.

    Read is the last reply alone, its reasoning removed. It must hold exactly one ``<final_output>`` block with one
    JSON object, and no other tag; duplicate keys, NaN and Infinity are not JSON. ``success`` needs exactly the keys of
    the task's gold object and every value right; text is compared after casefold, trim and ``_``/``-`` -> space.

    Example::

        scorer = FinalOutputScorer({"decision": ("Account Closure", "No Action")})
        # gold {"decision": "No Action"}
        # <final_output>{"decision": "no_action"}</final_output>                  -> success
        # <final_output>{"decision": "No Action, Account Closure"}</final_output> -> completed, wrong
        # <final_decision>No Action</final_decision>                              -> not completed
    """

    def __init__(self, vocabulary: Mapping[str, tuple[str, ...]], gold_key: str = "gold") -> None:
        """Take the labels each text field may have; fields with boolean, number or null gold need none."""
        self._labels = {field: frozenset(map(normalise, labels)) for field, labels in vocabulary.items()}
        self._gold_key = gold_key

    def score(self, episode: Episode) -> Score:
        """Grade the last reply against ``episode.task.data[gold_key]``.

        Raises:
            DatasetError: the task has no gold object, or a gold value that can never be answered.
        """
        gold = self._gold(episode.task)
        answer = self._read(episode, gold)
        if answer is None:
            return Score(success=False, fields=dict.fromkeys(gold, False), completed=False)
        fields = {
            field: field in answer and self._matches(field, expected, answer[field]) for field, expected in gold.items()
        }
        return Score(success=all(fields.values()) and answer.keys() == gold.keys(), fields=fields)

    def _read(self, episode: Episode, gold: Mapping[str, Any]) -> dict[str, Any] | None:
        return read_answer(episode)

    def _gold(self, task: Task) -> Mapping[str, Any]:
        gold = read_gold(task, self._gold_key)
        for field, value in gold.items():
            if isinstance(value, str) and normalise(value) not in self._labels.get(field, frozenset()):
                raise DatasetError(
                    f"gold value of field {field!r} must be in the scorer's vocabulary: got {value!r} "
                    f"(task {task.id!r}); add it to the vocabulary or correct the task"
                )
        return gold

    def _matches(self, field: str, expected: object, given: object) -> bool:
        labels = self._labels.get(field, frozenset())
        if expected is None:
            word = normalise(given) if isinstance(given, str) else ""
            return given is None or (word in NULL_WORDS and word not in labels)
        if isinstance(expected, str):
            return isinstance(given, str) and normalise(given) in labels and normalise(given) == normalise(expected)
        if isinstance(expected, bool) or isinstance(given, bool):
            return given is expected
        return isinstance(given, (int, float)) and given == expected


class FinalDecisionScorer(FinalOutputScorer):
    """The strict grader for tasks of one field whose prompt asks for ``<final_decision>value</final_decision>``.

    That is how mode "official" of SOP-Bench folders asks. As strict as ``FinalOutputScorer``: one block, no other tag,
    and the whole value equal to one label; a boolean, number or null may be written out.
    """

    def _read(self, episode: Episode, gold: Mapping[str, Any]) -> dict[str, Any] | None:
        body = read_block(episode, "<final_decision>", "</final_decision>")
        if body is None or len(gold) != 1 or not body.strip() or TAG.search(body):
            return None
        ((name, expected),) = gold.items()
        return {name: _written_out(body.strip(), expected)}


class RewardScorer:
    """The environment's own reward as a verdict: only for suites that say so, and flagged in the result."""

    def __init__(self, threshold: float = 1.0) -> None:
        """Take the reward from which an attempt counts as success."""
        self._threshold = threshold

    def score(self, episode: Episode) -> Score:
        """Return success where the reward reaches the threshold."""
        if isinstance(episode.outcome, Failed):
            raise ValueError(f"a failed episode has no reward to score (episode '{episode.key}')")
        completed = episode.outcome.kind == "rewarded"
        return Score(success=episode.outcome.value >= self._threshold, completed=completed)


def normalise(label: str) -> str:
    """Return the form in which labels are compared.

    >>> normalise(" No_Action ")
    'no action'
    """
    return label.casefold().strip().replace("_", " ").replace("-", " ")


def collect_vocabulary(tasks: Iterable[Task], gold_key: str = "gold") -> dict[str, tuple[str, ...]]:
    """Return, per field, the text labels that occur as gold values, sorted: the closed vocabulary of a split."""
    labels: dict[str, set[str]] = {}
    for task in tasks:
        for field, value in read_gold(task, gold_key).items():
            found = labels.setdefault(field, set())
            if isinstance(value, str):
                found.add(value)
    return {field: tuple(sorted(found)) for field, found in labels.items()}


def read_gold(task: Task, gold_key: str = "gold") -> Mapping[str, Any]:
    """Return the task's gold object.

    Raises:
        DatasetError: there is none, or a value is not text, a boolean, a number or null.
    """
    gold = task.data.get(gold_key)
    if not isinstance(gold, Mapping) or not gold:
        raise DatasetError(
            f"task.data[{gold_key!r}] must be an object of field -> value: got {gold!r} (task {task.id!r}); "
            "give the task ground truth or name another scorer for the suite"
        )
    for field, value in gold.items():
        finite = isfinite(value) if isinstance(value, float) else isinstance(value, (str, int))
        if value is not None and not finite:
            raise DatasetError(
                f"gold value of field {field!r} must be text, a boolean, a finite number or null: got {value!r} "
                f"(task {task.id!r})"
            )
    return gold


def read_answer(episode: Episode) -> dict[str, Any] | None:
    """Return the answer object of the last reply, or None when there is not exactly one that can be read."""
    body = read_block(episode, OPENING_TAG, CLOSING_TAG)
    if body is None:
        return None
    try:
        parsed = json.loads(body, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def read_block(episode: Episode, opening_tag: str, closing_tag: str) -> str | None:
    """Return what the one block in the last reply holds; None when that still calls tools or holds another tag."""
    if not episode.turns or episode.turns[-1].reply.tool_calls:
        return None
    # A chat template may open the reasoning inside the prompt, so only its end is certain to be seen.
    text = REASONING_END.split(episode.answer)[-1]
    before, opening, rest = text.partition(opening_tag)
    body, closing, after = rest.partition(closing_tag)
    if not opening or not closing or TAG.search(before) or TAG.search(after):
        return None
    return body


def _written_out(text: str, expected: object) -> object:
    """Return the boolean or number that a text writes out, where one is expected."""
    if isinstance(expected, bool):
        return {"true": True, "false": False}.get(text.casefold(), text)
    if isinstance(expected, (int, float)):
        try:
            return float(text)
        except ValueError:
            return text
    return text


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    parsed = dict(pairs)
    if len(parsed) != len(pairs):
        raise ValueError("duplicate key")
    return parsed


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
