"""What is doubtful about a SOP-Bench domain beyond the form of its files: tools, rows, labels, what rules can reach."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from turnwright.core.finding import Finding
from turnwright.environments.answers import read_answer, right_share
from turnwright.environments.sop.folder import SPLIT_FILES
from turnwright.environments.sop.licence import find_licences, row_text
from turnwright.environments.sop.lookups import Row
from turnwright.environments.sop.rules import play_rules

if TYPE_CHECKING:
    from turnwright.environments.sop.environment import SopEnvironment

NAMED = 5
"""Tasks that a finding names."""


def find_defects(environment: "SopEnvironment") -> tuple[Finding, ...]:
    """Return the licence as information, and what makes tools or labels of the folder useless."""
    return (
        *_licences(environment),
        *_unanswered(environment),
        *_shadowed(environment),
        *_labels(environment),
    )


def find_ceiling(environment: "SopEnvironment") -> tuple[Finding, ...]:
    """Report that the known rules do not reach every label: nobody who follows the procedure can do better."""
    solved, of = count_by_rules(environment)
    if solved == of:
        return ()
    return (
        Finding(
            code="oracle.ceiling",
            severity="warning",
            where=environment.folder.name,
            evidence=f"the rules that can be read out of procedure and labels give {solved} of {of} labels; nothing an "
            "agent can see decides the others",
            cure=f"read a success of {solved / of:.1%} as the most that can be reached",
        ),
    )


def count_by_rules(environment: "SopEnvironment") -> tuple[int, int]:
    """Return how many test tasks the rules solve, by the recorded tools, of how many."""
    of = len(environment.tasks("test"))
    return of - len(environment.unreachable_tasks), of


def beyond_rules(environment: "SopEnvironment") -> Iterator[str]:
    """Yield the ids of test tasks that the domain's rules, where they are known, do not solve."""
    for task in environment.tasks("test") if environment.has_rules else ():
        row = environment.folder.rows["test"][task.data["row"]]
        played = play_rules(environment.rules(task), _answers(environment, row))
        answer = read_answer(played.answer.content) if played else None
        if right_share(answer, task.data["gold"]) < 1.0:
            yield task.id


def _answers(environment: "SopEnvironment", row: Row) -> Callable[[str, Mapping[str, Any]], Any]:
    return lambda name, arguments: environment.recorded_answer(name, arguments, row)


def _licences(environment: "SopEnvironment") -> Iterator[Finding]:
    for licence in find_licences(environment.folder):
        flags = [
            *(["non-commercial"] if licence.non_commercial else []),
            *(["speaks of training"] if licence.speaks_of_training else []),
        ]
        yield Finding(
            code="licence.flag",
            severity="info",
            where=licence.file,
            evidence=f"{licence.title}{' - ' if flags else ''}{', '.join(flags)}",
            cure="evaluate on these rows; training on them needs acknowledge_licence = true and a split_lock",
        )


def _unanswered(environment: "SopEnvironment") -> Iterator[Finding]:
    if environment.tool_source == "sandbox":
        return
    for spec in environment.tool_specs():
        if spec.name not in environment.lookups:
            yield Finding(
                code="tool.unanswered",
                severity="error",
                where=f"tool {spec.name!r}",
                evidence="nothing says what it answers: no lookup describes it"
                + ("" if environment.folder.tools_file else ", and the folder has no tools.py"),
                cure="describe it under 'lookups' in metadata.json, or use a full checkout, whose tools.py runs in a "
                "sandbox; until then an episode that calls it fails as infrastructure",
            )


def _shadowed(environment: "SopEnvironment") -> Iterator[Finding]:
    for name, rows in environment.shadowed.items():
        yield Finding(
            code="data.shadowed",
            severity="warning",
            where=f"tool {name!r}",
            evidence=f"{len(rows)} rows have the same ids as an earlier row, which is what it answers with",
            cure="give every record an id of its own",
        )


def _labels(environment: "SopEnvironment") -> Iterator[Finding]:
    folder = environment.folder
    cells = folder.label_cells()
    where = SPLIT_FILES["test"]
    labels: defaultdict[str, set[str]] = defaultdict(set)
    blank: list[int] = []
    for index, row in folder.task_rows("test"):
        gold = [row[name] for name in cells]
        labels[row_text(row, folder.input_columns)].add("\n".join(gold))
        blank += [] if any(cell.strip() for cell in gold) else [index]
    if blank:
        named = ", ".join(f"row {index + 1}" for index in blank[:NAMED])
        yield _defect(where, f"{len(blank)} tasks have no label at all ({named})", "label them, or take them out")
    unclear = [text for text, found in labels.items() if len(found) > 1]
    if unclear:
        first = unclear[0].replace("\n", "; ")[:120]
        yield _defect(
            where,
            f"{len(unclear)} prompts occur with different labels, such as {first!r}",
            "show the column that tells these tasks apart",
        )


def _defect(where: str, evidence: str, cure: str) -> Finding:
    return Finding(code="data.label", severity="warning", where=where, evidence=evidence, cure=cure)
