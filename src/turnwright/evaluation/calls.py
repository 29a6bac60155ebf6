"""CallsScorer: whether an agent did what it should, read off its calls; for worlds that tools change.

The strict answer alone says nothing about the world: who answers "refunded" and refunds nothing would succeed. A reward
compares states; this scorer compares calls, so that a defect of either shows as a disagreement.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from turnwright.core.episode import Episode
from turnwright.core.errors import DatasetError
from turnwright.core.score import Score
from turnwright.core.task import Task
from turnwright.evaluation.scorers import FinalOutputScorer, collect_vocabulary


class CallsScorer:
    """Success is a right answer, by ``FinalOutputScorer``, and exactly the calls of ``task.data["gold_calls"]``.

    ``gold_calls`` has, by tool, the arguments of every call that is right, in any order; the empty list for a tool that
    must not be called. Tools that it does not name may be called at will. A call that was answered with an error has
    changed nothing and does not count.

    Example::

        [evaluation]
        scorer = "turnwright.evaluation.calls:CallsScorer"

        # gold_calls {"refund": [{"order": 5, "amount": 20}], "escalate": []}
    """

    def score(self, episode: Episode) -> Score:
        """Grade the last reply and all calls.

        Raises DatasetError when the task has no gold object or no gold calls.
        """
        wanted = _gold_calls(episode.task)
        # Of one task: equal to the gold label is what is left of a closed vocabulary.
        answered = FinalOutputScorer(collect_vocabulary([episode.task])).score(episode)
        made = _calls_made(episode, wanted)
        fields = {tool: sorted(made[tool]) == sorted(map(_text, calls)) for tool, calls in wanted.items()}
        return Score(
            success=answered.success and all(fields.values()),
            fields={**answered.fields, **fields},
            completed=answered.completed,
        )


def _gold_calls(task: Task) -> Mapping[str, Iterable[Any]]:
    wanted = task.data.get("gold_calls")
    if not isinstance(wanted, Mapping) or not wanted:
        raise DatasetError(
            f"task.data['gold_calls'] must be an object of tool -> list of arguments: got {wanted!r} "
            f"(task {task.id!r}); give the task its calls or name another scorer for the suite"
        )
    return cast("Mapping[str, Iterable[Any]]", wanted)


def _calls_made(episode: Episode, tools: Iterable[str]) -> Mapping[str, list[str]]:
    """Return the arguments of the calls that were not answered with an error, by tool."""
    made: dict[str, list[str]] = {tool: [] for tool in tools}
    for turn in episode.turns:
        for call, outcome in zip(turn.reply.tool_calls, turn.tools, strict=False):
            if call.name in made and not outcome.error:
                made[call.name].append(_text(json.loads(call.arguments or "{}")))
    return made


def _text(arguments: object) -> str:
    return json.dumps(arguments, sort_keys=True)
