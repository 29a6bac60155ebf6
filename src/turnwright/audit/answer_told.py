"""Is the agent told how to answer? Compares what it reads with how the solutions answer.

An evaluation that reads a tag or a field of which no instruction speaks scores what nobody can know to write.
"""

import re
from collections.abc import Sequence

from turnwright.audit.answer_form import BLOCK, Truths
from turnwright.audit.listing import shorten_list
from turnwright.core.episode import Episode
from turnwright.core.finding import Finding

TAG = re.compile(r"<([A-Za-z_][\w-]*)>")


def check_answer_told(episodes: Sequence[Episode], truths: Truths | None) -> tuple[Finding, ...]:
    """Report a tag or a field of the right answers that the agent never reads of."""
    if truths is None or not episodes:
        return ()
    form = truths.form
    read = {e.key.task_id: read_text(e) for e in episodes if e.key.task_id in truths.by_task}
    texts = list(read.values())
    findings: list[Finding] = []
    if form.tag and not any(form.tag.casefold() in text.casefold() for text in texts):
        told = sorted({tag for text in texts for tag in TAG.findall(text)})
        findings.append(
            _untold(
                f"tag <{form.tag}>",
                f"the solutions answer inside <{form.tag}>, of which the agent is told nothing"
                + (f"; it is told of {', '.join(f'<{tag}>' for tag in told[:5])}" if told else ""),
            )
        )
    if form.is_object:
        told_of = {
            (task, name): _plain(name) in _plain(text) for task, text in read.items() for name in truths.by_task[task]
        }
        for name in dict.fromkeys(name for _, name in told_of):
            if not any(told for (_, field), told in told_of.items() if field == name):
                evidence = f"the right answers have a field {name!r}, which nothing names that the agent reads"
                findings.append(_untold(f"answer field {name!r}", evidence))
    return (*shorten_list(findings), *_extra_tag(texts, form.tag))


def _extra_tag(texts: Sequence[str], tag: str) -> tuple[Finding, ...]:
    """Report a block that every text shows and that is not the one of the solutions."""
    shown = [{found for found, _ in BLOCK.findall(text)} for text in texts]
    common = set.intersection(*shown) if shown else set()
    answers = {name for name in common if re.search("answer|output|response|result|decision|final", name, re.I)}
    if not tag or not answers or tag in answers:
        return ()
    return (
        _untold(
            f"tag <{min(answers)}>",
            f"the agent is shown an answer inside <{min(answers)}>, and the solutions answer inside <{tag}>",
        ),
    )


def read_text(episode: Episode) -> str:
    """Return all that an agent reads before it answers: opening, tools and what they say."""
    tools = [f"{spec.name} {spec.description}" for spec in episode.tools]
    answers = [response.content for turn in episode.turns for response in turn.responses]
    return "\n".join([*(message.content for message in episode.opening), *tools, *answers])


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text.casefold())


def _untold(where: str, evidence: str) -> Finding:
    return Finding(
        code="answer.untold",
        severity="error",
        where=where,
        evidence=evidence,
        cure="show the whole form of an answer, with every field, in the instructions or the prompt",
    )
