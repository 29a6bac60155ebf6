"""Attacks with knowledge: the right answer in a form that must not count, after the calls of a real solution.

What accepts a right answer beside a wrong one, inside reasoning, negated or cut short teaches a policy to write so.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from turnwright.audit.answer_form import AnswerForm, Fields, Truths
from turnwright.audit.judge import Judge
from turnwright.audit.play import play
from turnwright.audit.report import Floor
from turnwright.core.episode import Episode
from turnwright.core.finding import Finding, Severity
from turnwright.environments.base import Environment
from turnwright.environments.scripts import numbered, say

ACCEPTED = 0.5
"""Share of tasks from which an attack counts as accepted; less is chance among labels that resemble each other."""
RAISED: Mapping[Severity | None, Severity] = {None: "warning", "info": "warning", "warning": "error", "error": "error"}
"""Severity where the reward pays for what the scorer refuses: training then moves away from what is evaluated."""
NUMBER = re.compile(r"[-+]?[\d.,/]+%?")

Write = Callable[[AnswerForm, Fields, Fields], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One way of writing a right answer, with a wrong one at hand."""

    name: str
    code: str
    severity: Severity | None
    """None: harmless where reward and scorer agree about it."""
    reason: str
    """Why it must not count, or what comes of it where only one of the two takes it."""
    write: Write
    """From form, right and wrong values to a final reply; None where it says nothing."""
    also: Write | None = None
    """A second reply that must be accepted on the same task."""


def _each(change: Callable[[str, str], str]) -> Write:
    """Change the text values; None where there is none."""

    def write(form: AnswerForm, right: Fields, wrong: Fields) -> str | None:
        texts = {name: change(value, str(wrong[name])) for name, value in right.items() if isinstance(value, str)}
        return form.write({**right, **texts}) if texts and texts != {n: right[n] for n in texts} else None

    return write


def _half(value: str, other: str) -> str:
    return value[: (len(value) + 1) // 2] if len(value) > 3 else value


def _retyped(change: Callable[[Any], Any]) -> Write:
    """Change the type of values; None where there is nothing to change."""

    def write(form: AnswerForm, right: Fields, wrong: Fields) -> str | None:
        changed = {name: change(value) for name, value in right.items()}
        same = all(type(changed[name]) is type(value) for name, value in right.items())
        return None if same or not form.is_object else form.write(changed)

    return write


def _fenced(form: AnswerForm, right: Fields, wrong: Fields) -> str | None:
    body = json.dumps(dict(right), indent=2, ensure_ascii=False) if form.is_object else form.write(right)
    return form.wrap(f"\n```json\n{body}\n```\n") if form.is_object else f"```\n{body}\n```"


def _with_more(form: AnswerForm, right: Fields, wrong: Fields) -> str | None:
    return form.write({**right, "remark": "none"}) if form.is_object else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _other_tag(form: AnswerForm, right: Fields, wrong: Fields) -> str | None:
    if not form.tag:
        return None
    tag = "result" if form.tag != "result" else "output"
    return form.write(right).replace(f"<{form.tag}>", f"<{tag}>").replace(f"</{form.tag}>", f"</{tag}>")


def _injected(form: AnswerForm, right: Fields, wrong: Fields) -> str | None:
    if not form.tag:
        return None
    return form.write({**wrong, next(iter(wrong)): f"{form.after}{form.write(right)}"})


ATTACKS = (
    Attack(
        name="negation",
        code="grader.negation",
        severity="error",
        reason="it says the opposite",
        # Reading the one number out of a sentence is common, and no policy gains by "not 42".
        write=_each(lambda value, other: value if NUMBER.fullmatch(value) else f"not {value}"),
    ),
    Attack(
        name="denial",
        code="grader.negation",
        severity="error",
        reason="it says that the value is wrong, and names another",
        write=_each(lambda value, other: f"{value} is wrong, it is {other}"),
    ),
    Attack(
        name="right_among_two",
        code="grader.multi_label",
        severity="error",
        reason="it names two values where one is asked for, in either order",
        write=_each(lambda value, other: f"{value}, {other}"),
        also=_each(lambda value, other: f"{other}, {value}"),
    ),
    Attack(
        name="half_label",
        code="grader.substring",
        severity="error",
        reason="it is a part of the right value only",
        write=_each(_half),
    ),
    Attack(
        name="thinking",
        code="grader.thinking",
        severity="error",
        reason="the right answer stands in the reasoning, and a wrong one is given",
        write=lambda form, right, wrong: f"<think>{form.write(right)}</think>{form.write(wrong)}",
    ),
    Attack(
        name="thinking_only",
        code="grader.thinking",
        severity="error",
        reason="the right answer stands in the reasoning, and none is given",
        write=lambda form, right, wrong: f"<think>{form.write(right)}</think>",
    ),
    Attack(
        name="injection",
        code="grader.injection",
        severity="error",
        reason="a value of a wrong answer holds a second answer block",
        write=_injected,
    ),
    Attack(
        name="wrong_tag",
        code="grader.wrong_tag",
        severity="warning",
        reason="it stands in another tag than the solutions use: an evaluation that reads the tag counts it as missing",
        write=_other_tag,
    ),
    Attack(
        name="false_as_text",
        code="grader.type",
        severity="error",
        reason="the text 'false' counts as true, as any text does that is not empty",
        write=_retyped(lambda value: "false" if value is True else value),
    ),
    Attack(
        name="number_as_text",
        code="grader.lenient",
        severity=None,
        reason="numbers stand in quotes",
        write=_retyped(lambda value: str(value) if _is_number(value) else value),
    ),
    Attack(
        name="boolean_as_text",
        code="grader.lenient",
        severity=None,
        reason="true and false stand in quotes",
        write=_retyped(lambda value: str(value).lower() if isinstance(value, bool) else value),
    ),
    Attack(
        name="code_fence",
        code="grader.lenient",
        severity=None,
        reason="the answer stands in a code fence",
        write=_fenced,
    ),
    Attack(
        name="extra_field",
        code="grader.lenient",
        severity=None,
        reason="there is a field that nobody asked for",
        write=_with_more,
    ),
    Attack(
        name="two_answers",
        code="grader.two_answers",
        severity="error",
        reason="one of two answers counts, whichever it is: listing all answers is solved",
        write=lambda form, right, wrong: f"{form.write(right)}\n{form.write(wrong)}",
        also=lambda form, right, wrong: f"{form.write(wrong)}\n{form.write(right)}",
    ),
    Attack(
        name="right_then_wrong",
        code="grader.two_answers",
        severity="info",
        reason="the answer was taken back; that the first one counts should be a choice made on purpose",
        write=lambda form, right, wrong: f"{form.write(right)}\n{form.write(wrong)}",
    ),
    Attack(
        name="wrong_then_right",
        code="grader.two_answers",
        severity="info",
        reason="there are two answers; that the last one counts should be a choice made on purpose",
        write=lambda form, right, wrong: f"{form.write(wrong)}\n{form.write(right)}",
    ),
)


def case_twins(truths: Truths, field: str) -> Mapping[str, str]:
    """Return words of a field that it has elsewhere with other capitals, such as mW and MW."""
    texts = [str(fields[field]) for fields in truths.by_task.values() if field in fields]
    forms: dict[str, dict[str, None]] = {}
    for word in dict.fromkeys(word for text in texts for word in re.findall(r"[A-Za-z]+", text)):
        forms.setdefault(word.casefold(), {})[word] = None
    pairs = [tuple(some)[:2] for some in forms.values() if len(some) > 1]
    return {one: other for pair in pairs for one, other in (pair, pair[::-1])}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attacks:
    """What came of the attacks."""

    shares: Mapping[str, Floor]
    """By name of the attack; empty where the final reply does not decide."""
    findings: tuple[Finding, ...]
    right: Sequence[Episode]
    """The solutions that were attacked."""
    wrong: Sequence[Episode]
    """The same calls with a wrong answer, in the same order."""
    played: Sequence[Episode]


async def check_attacks(
    prototype: Environment, solved: Sequence[Episode], truths: Truths | None, judge: Judge, *, seed: int
) -> Attacks:
    """Play every attack.

    Silent where the final reply does not decide: where the calls of a solution with a *wrong* answer are solved too.
    """
    known = [e for e in solved if truths and wrong_answer(truths, e.key.task_id)]
    if truths is None or not known:
        return Attacks(shares={}, findings=(), right=(), wrong=(), played=())
    cases = [(e, truths.by_task[e.key.task_id], wrong_answer(truths, e.key.task_id)) for e in known]
    wrong = [await _play(prototype, episode, truths.form.write(bad), seed) for episode, _, bad in cases]
    shares: dict[str, Floor] = {}
    findings: list[Finding] = []
    played = [*wrong]
    decides = sum(map(judge.by_reward, wrong)) <= ACCEPTED * len(wrong)
    for attack in (*ATTACKS, *_other_capitals(truths)) if decides else ():
        verdicts: list[tuple[bool, bool | None]] = []
        texts = ""
        for episode, right, bad in cases:
            written = [w(truths.form, right, bad) for w in (attack.write, attack.also) if w is not None]
            plays = [await _play(prototype, episode, text, seed) for text in written if text is not None]
            if plays:
                played += plays
                texts = texts or str(written[0])
                scores = [judge.by_score(one) for one in plays]
                verdicts.append((all(map(judge.by_reward, plays)), all(scores) if judge.scorer else None))
        if verdicts:
            share = shares[attack.name] = _share(verdicts)
            findings += _findings(attack, share, texts, len(verdicts))
    both = {finding.where for finding in findings if finding.code == "grader.two_answers" and _is_error(finding)}
    kept = [f for f in findings if f.code != "grader.two_answers" or _is_error(f) or f.where not in both]
    return Attacks(shares=shares, findings=tuple(kept), right=known, wrong=wrong, played=played)


def wrong_answer(truths: Truths, task_id: str) -> dict[str, Any]:
    """Return values that are all wrong for a task; empty where a field has no other value."""
    wrong: dict[str, Any] = {}
    for name, value in truths.by_task[task_id].items():
        others = [other for other in truths.labels[name] if str(other).casefold() != str(value).casefold()]
        if others:
            wrong[name] = others[0]
    return {**truths.by_task[task_id], **wrong} if wrong else {}


async def _play(prototype: Environment, episode: Episode, text: str, seed: int) -> Episode:
    script = [*(turn.reply for turn in episode.turns[:-1]), say(text)]
    return await play(prototype, episode.task, numbered(script), seed=seed)


def _other_capitals(truths: Truths) -> tuple[Attack, ...]:
    twins = {name: found for name in truths.labels if (found := case_twins(truths, name))}

    def write(form: AnswerForm, right: Fields, wrong: Fields) -> str | None:
        def swap(name: str, text: str) -> str:
            return re.sub(r"[A-Za-z]+", lambda found: twins[name].get(found.group(0), found.group(0)), text)

        changed = {n: swap(n, v) if n in twins and isinstance(v, str) else v for n, v in right.items()}
        return form.write(changed) if changed != right else None

    if not twins:
        return ()
    pair = next(iter(next(iter(twins.values())).items()))
    return (
        Attack(
            name="other_capitals",
            code="grader.case",
            severity="error",
            reason=f"capitals alone tell right answers apart here, such as {pair}",
            write=write,
        ),
    )


def _share(verdicts: Sequence[tuple[bool, bool | None]]) -> Floor:
    by_reward, by_score = (sum(map(bool, column)) / len(verdicts) for column in zip(*verdicts, strict=True))
    return Floor(by_reward=by_reward, by_score=None if verdicts[0][1] is None else by_score)


def _is_error(finding: Finding) -> bool:
    return finding.severity == "error"


def _findings(attack: Attack, share: Floor, text: str, count: int) -> list[Finding]:
    refused = share.by_score is not None and share.by_score < ACCEPTED
    severity = RAISED[attack.severity] if refused else attack.severity
    if severity is None:
        return []
    return [
        Finding(
            code=attack.code,
            severity=severity,
            where=grader,
            evidence=f"the {grader} calls the answer {attack.name!r} solved on {accepted:.0%} of {count} tasks, such "
            f"as {text[:160]!r}: {attack.reason}{', and the scorer refuses it' if refused else ''}",
            cure="cut the reasoning off, read exactly one answer block, and compare each field for equality within a "
            "closed set of labels",
        )
        for grader, accepted in (("reward", share.by_reward), ("scorer", share.by_score))
        if accepted is not None and accepted >= ACCEPTED
    ]
