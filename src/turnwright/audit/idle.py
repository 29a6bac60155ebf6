"""Plays without knowledge: what a policy that finds nothing out could say or do, honest or trying to fool a grader.

The right answers are used for the form of an answer and for its labels, never for the task at hand.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from turnwright.audit.answer_form import Truths
from turnwright.audit.answers import guess_arguments, prompt_lines
from turnwright.audit.prediction import predicted_share
from turnwright.core.episode import Episode
from turnwright.core.message import Message, ToolSpec
from turnwright.core.seeding import generator
from turnwright.core.task import Task
from turnwright.environments.scripts import call, say

MAJORITY_CLASS = "majority_class"
SPAM_CALLS = 12
LONG_ARGUMENT = 20
"""Characters from which an argument that nobody told is worked out, and no id or word tried at random."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdlePlay:
    """A way to end a task without finding anything out."""

    name: str
    code: str
    """Finding when it solves more tasks than naming the majority class."""
    messages: Callable[[Task], Iterable[Message]]


def idle_plays(
    tasks: Sequence[Task], instructions: str, tools: Sequence[ToolSpec], truths: Truths | None, *, seed: int
) -> tuple[IdlePlay, ...]:
    """Return the plays to try; those in the form of an answer need ``truths`` to know form and labels from."""
    plays = [
        _said("nothing", "floor.high", lambda task: ""),
        _said("echo", "floor.high", lambda task: f"{instructions}\n{task.prompt}"),
    ]
    final = _said("", "", lambda task: "done").messages
    if truths is not None:
        answers = _labelled(truths, seed)
        plays += answers
        final = next(play for play in answers if play.name == "constant").messages
    if tools:
        plays += [IdlePlay(name="spam", code="reward.spam", messages=lambda task: _spam(task, tools, final, seed))]
    return tuple(plays)


def copied_plays(episodes: Sequence[Episode], *, seed: int) -> tuple[IdlePlay, ...]:
    """Return plays made of what solutions of *other* tasks did, for worlds whose state is graded."""
    actions = {e.key.task_id: tuple(turn.reply for turn in e.turns) for e in episodes}
    acting = [replies for replies in actions.values() if any(reply.tool_calls for reply in replies)]
    talks = any(len(replies) > 1 for replies in actions.values())
    if len(actions) < 2:
        return ()
    commonest, _ = Counter(map(_calls, acting or actions.values())).most_common(1)[0]
    constant = next(replies for replies in actions.values() if _calls(replies) == commonest)
    ids = sorted(actions)
    following = dict(zip(ids, (*ids[1:], ids[0]), strict=True))

    def other_task(task: Task) -> Iterable[Message]:
        return actions[following.get(task.id, ids[0])]

    def first_call(task: Task) -> Iterable[Message]:
        replies = actions.get(task.id, constant)
        first = next((reply for reply in replies if reply.tool_calls), replies[0])
        return [*[first] * max(len(replies) - 1, 1), constant[-1]]

    if not acting:

        def every_reply(task: Task) -> Iterable[Message]:
            # What a task's own solution says is knowledge, unless others say it as well.
            others = (replies for task_id, replies in actions.items() if task_id != task.id)
            order = sorted({reply.content for replies in others for reply in replies})
            generator("audit.every_reply", seed, task.id).shuffle(order)
            return map(say, order)

        # A world that answers replies: guess at random until it is over.
        return (IdlePlay(name="every_reply", code="floor.high", messages=every_reply),) if talks else ()
    same = IdlePlay(name="same_calls", code="floor.high", messages=lambda task: constant)
    other = IdlePlay(name="other_task", code="floor.high", messages=other_task)
    if sum(map(_begins_with_knowledge, episodes)) > len(episodes) / 2:
        return (same, other)
    return (same, other, IdlePlay(name="first_call", code="floor.high", messages=first_call))


def _begins_with_knowledge(episode: Episode) -> bool:
    """Return whether a solution's first call says something that the agent was not told, such as a finished program."""
    told = " ".join(message.content for message in episode.opening)
    calls = [tool_call for turn in episode.turns for tool_call in turn.reply.tool_calls][:1]
    return any(len(value) >= LONG_ARGUMENT and value not in told for one in calls for value in _texts(one.arguments))


def _texts(arguments: str) -> list[str]:
    try:
        values = json.loads(arguments or "{}")
    except ValueError:
        return []
    return [value for value in values.values() if isinstance(value, str)] if isinstance(values, dict) else []


def majority_share(tasks: Sequence[Task], truths: Truths | None, episodes: Sequence[Episode]) -> float:
    """Return the share of tasks whose answer is the most frequent one; of like actions where answers say nothing."""
    if not tasks:
        return 0.0
    if truths is None:
        keys = [_calls(tuple(turn.reply for turn in episode.turns)) for episode in episodes]
        return Counter(keys).most_common(1)[0][1] / len(tasks) if keys else 0.0
    answers = [truths.by_task[task.id] for task in tasks if task.id in truths.by_task]
    whole = Counter(json.dumps(dict(fields), sort_keys=True, default=str) for fields in answers)
    # Tasks that ask for different fields have a majority class each, as far as other tasks show it.
    alike = [(json.dumps(sorted(fields)), json.dumps(dict(fields), sort_keys=True, default=str)) for fields in answers]
    by_fields = predicted_share([one for one, _ in alike], [two for _, two in alike]) * len(alike) if alike else 0.0
    return max([*whole.values(), by_fields], default=0.0) / len(tasks)


def _said(name: str, code: str, text: Callable[[Task], str]) -> IdlePlay:
    return IdlePlay(name=name, code=code, messages=lambda task: [say(text(task))])


def _labelled(truths: Truths, seed: int) -> list[IdlePlay]:
    form = truths.form
    constant = form.write(truths.commonest)

    def each(value: Callable[[Sequence[Any]], Any]) -> Callable[[Task], str]:
        return lambda task: form.write({name: value(values) for name, values in truths.labels_for(task).items()})

    def random_labels(task: Task) -> str:
        draw = generator("audit.random_answer", seed, task.id)
        return form.write({name: draw.choice(values) for name, values in truths.labels_for(task).items()})

    def every_answer(task: Task) -> str:
        some = truths.labels_for(task)
        count = max(map(len, some.values()))
        every = [{name: values[index % len(values)] for name, values in some.items()} for index in range(count)]
        return "\n".join(map(form.write, every))

    return [
        _said("random", "floor.high", random_labels),
        _said("constant", "floor.high", lambda task: constant),
        _said("empty_fields", "floor.high", each(lambda values: "")),
        _said("no_fields", "floor.high", lambda task: form.wrap("{}" if form.is_object else "")),
        _said("nulls", "floor.high", each(lambda values: None)),
        _said("any_json", "floor.high", lambda task: form.wrap('{"note": 1}')),
        _said("broken_json", "floor.high", lambda task: form.wrap('{"note": [')),
        _said("all_labels", "grader.multi_label", each(lambda values: ", ".join(map(str, values)))),
        _said("label_list", "grader.multi_label", each(list)),
        _said("every_answer", "grader.two_answers", every_answer),
        _said("one_letter", "grader.substring", each(_commonest_letter)),
        _said("pattern", "grader.pattern", each(lambda values: ".*")),
    ]


def _spam(
    task: Task, tools: Sequence[ToolSpec], final: Callable[[Task], Iterable[Message]], seed: int
) -> Iterable[Message]:
    """Call tools at random, with what the prompt says, and answer without having read anything."""
    draw = generator("audit.spam", seed, task.id)
    for _ in range(SPAM_CALLS):
        chosen = draw.choice(tools)
        yield call(chosen.name, **guess_arguments(chosen, prompt_lines(task)))
    yield from final(task)


def _commonest_letter(values: Sequence[Any]) -> str:
    counts = Counter(letter for value in values for letter in set(str(value).casefold()) if letter.isalnum())
    return counts.most_common(1)[0][0] if counts else "a"


def _calls(replies: Sequence[Message]) -> str:
    return json.dumps([[[one.name, one.arguments] for one in r.tool_calls] or r.content for r in replies])
