"""What tools say by the way: an error text or a remark that names the right answer."""

from collections import Counter
from collections.abc import Sequence

from turnwright.audit.answers import guess_arguments
from turnwright.audit.prompt_fields import gold_columns
from turnwright.audit.prompt_leaks import FEWEST_TASKS, LEAST_GAIN, NEARLY_ALWAYS, contained_words, named_share
from turnwright.audit.session import session
from turnwright.core.episode import Episode
from turnwright.core.finding import Finding
from turnwright.environments.base import Environment

ASKED = 40
"""Tasks on which each tool is asked for what does not exist."""


async def check_betrayals(prototype: Environment, episodes: Sequence[Episode], *, seed: int) -> tuple[Finding, ...]:
    """Call every tool for a record that does not exist, and look for the answer in what it says."""
    some = episodes[:ASKED]
    fields = gold_columns([episode.task for episode in some])
    if len(some) < FEWEST_TASKS:
        return ()
    findings: list[Finding] = []
    for spec in {spec.name: spec for episode in some for spec in episode.tools}.values():
        if not spec.parameters.get("required"):
            continue
        texts: list[str | None] = []
        for episode in some:
            with session(prototype, episode.task, seed) as opened:
                texts.append((await opened.answer(spec.name, guess_arguments(spec, {}))).text)
        for name, labels in fields.items():
            majority = Counter(labels).most_common(1)[0][1] / len(labels)
            share = max(named_share(texts, labels), contained_words(texts, labels))
            if share >= max(NEARLY_ALWAYS, majority + LEAST_GAIN):
                findings.append(
                    Finding(
                        code="leak.tool",
                        severity="error",
                        where=f"tool {spec.name!r}",
                        evidence=f"asked for what does not exist, on {share:.0%} of {len(some)} tasks it names the "
                        f"right value of {name!r}: {str(texts[0])[:160]!r}",
                        cure="let an error say what was wrong with the call, and nothing about the task",
                    )
                )
                break
    return tuple(findings)
