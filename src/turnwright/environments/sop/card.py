"""The card of a SOP-Bench domain: what it holds, under which licence, and what can be reached in it.

The vocabulary is the closed set of labels that the strict scorer accepts. It is for people and scorers alone.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from turnwright.environments.sop.environment import SopEnvironment
from turnwright.environments.sop.findings import count_by_rules
from turnwright.environments.sop.licence import Licence, find_licences

MOST_LABELS = 30
"""Labels that a card lists; a column with more is one of free text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainCard:
    """One domain in numbers."""

    name: str
    licences: tuple[Licence, ...]
    rows: int
    """Test tasks."""
    tools: tuple[str, ...]
    tool_source: str
    """"recorded", "sandbox", or "none" where nothing can answer."""
    shown: tuple[str, ...]
    """Columns the agent is shown in mode "repaired"."""
    leaked: tuple[str, ...]
    """Label columns that mode "official" shows as well."""
    vocabulary: Mapping[str, tuple[str, ...]]
    """Labels by output column, sorted; empty for a column with too many to list."""
    majority: str
    """The most frequent answer."""
    majority_share: float
    """Success of who always gives it."""
    typical_turns: int
    typical_turns_measured: bool
    """Whether solutions were counted; otherwise it is one turn per tool and one for the answer."""
    max_turns: int
    by_rules: tuple[int, int] | None
    """Tasks that the known rules solve, of how many: where fewer, the most that can be reached; None = not known."""
    procedure_characters: int

    def describe(self) -> str:
        """Return one line per fact."""
        licence = "; ".join(
            f"{one.title} ({one.file}){', non-commercial' if one.non_commercial else ''}"
            f"{', speaks of training' if one.speaks_of_training else ''}"
            for one in self.licences
        )
        words = {
            name: ", ".join(labels) if labels else f"more than {MOST_LABELS} values"
            for name, labels in self.vocabulary.items()
        }
        facts = {
            "domain": self.name,
            "licence": licence or "no licence text found: ask the owner before use",
            "rows": f"{self.rows} test tasks, procedure of {self.procedure_characters:,} characters",
            "tools": f"{len(self.tools)} ({self.tool_source}): {', '.join(self.tools) or 'none'}",
            "shown": ", ".join(self.shown) + (f"; officially also {', '.join(self.leaked)}" if self.leaked else ""),
            **{f"labels of {name}": labels for name, labels in words.items()},
            "majority": f"{self.majority_share:.1%}: {self.majority}",
            "turns": f"N = {self.typical_turns}{'' if self.typical_turns_measured else ' (a guess)'}, "
            f"max_turns = {self.max_turns}",
            "rules": "not known" if self.by_rules is None else _reached(*self.by_rules),
        }
        width = max(map(len, facts))
        return "\n".join(f"{name:<{width}}  {fact}" for name, fact in facts.items())


def make_card(environment: SopEnvironment) -> DomainCard:
    """Return the card of a domain; its tools are not run."""
    folder, tasks = environment.folder, environment.tasks("test")
    golds: list[Mapping[str, Any]] = [task.data["gold"] for task in tasks]
    answers = Counter(", ".join(f"{name} {value}" for name, value in gold.items()) for gold in golds)
    ((majority, count),) = answers.most_common(1)
    answered = environment.tool_source == "sandbox" or bool(environment.lookups) or not folder.tools
    return DomainCard(
        name=folder.name,
        licences=find_licences(folder),
        rows=len(tasks),
        tools=tuple(spec.name for spec in folder.tools),
        tool_source=environment.tool_source if answered else "none",
        shown=folder.input_columns,
        leaked=tuple(column for column in folder.official_columns if column in folder.output_columns),
        vocabulary={name: _labels([gold[name] for gold in golds]) for name in folder.output_columns},
        majority=majority,
        majority_share=count / len(tasks),
        typical_turns=environment.typical_turns,
        typical_turns_measured=environment.has_rules,
        max_turns=environment.turn_limit,
        by_rules=count_by_rules(environment) if environment.has_rules else None,
        procedure_characters=len(folder.procedure),
    )


def _labels(values: list[Any]) -> tuple[str, ...]:
    labels = sorted({"null" if value is None else str(value) for value in values})
    return tuple(labels) if len(labels) <= MOST_LABELS else ()


def _reached(solved: int, of: int) -> str:
    return f"solve {solved} of {of}" + ("" if solved == of else f", a ceiling of {solved / of:.1%}")
