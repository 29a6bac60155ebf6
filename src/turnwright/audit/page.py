"""The audit as one HTML page: a file of its own, without scripts, fonts, images or links to anywhere else."""

import json
import shlex
from collections.abc import Iterable
from html import escape
from importlib.resources import files
from pathlib import Path

from turnwright.audit.idle import MAJORITY_CLASS
from turnwright.audit.page_charts import histogram, share_bars
from turnwright.audit.report import CheckReport, Facts, Settings, ToolFacts
from turnwright.core.finding import Finding
from turnwright.rundir.files import write_atomic

LONGEST_TEXT = 2_000
"""Characters of one text that are shown; ``--json`` has all of it."""


def write_page(report: CheckReport, path: Path) -> None:
    """Write the page of a report."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, render_page(report))


def render_page(report: CheckReport) -> str:
    """Return the page; whatever an environment says stands in it as text."""
    style = (files("turnwright.audit") / "page.css").read_text(encoding="utf-8")
    counts = {kind: sum(f.severity == kind for f in report.findings) for kind in ("error", "warning", "info")}
    verdict = "passed" if report.passed else "failed"
    told = ", ".join(f"{count} {kind}{'s' if count != 1 else ''}" for kind, count in counts.items() if count)
    name = escape(report.environment)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>{name}: audit {verdict}</title>
<style>
{style}</style>
</head>
<body>
<header class="{verdict}">
<p class="kicker">Turnwright check</p>
<h1>{name}</h1>
<p class="verdict">{verdict.capitalize()}</p>
<p>{told or "No findings"}. {escape(solved_sentence(report))} {escape(turns_sentence(report))}</p>
</header>
<main>
<section id="findings"><h2>Findings</h2>
{"".join(map(_card, report.findings)) or "<p>Nothing was found.</p>"}
</section>
<section id="floors"><h2>What plays without knowledge earn</h2>
<p>Share of tasks that count as solved, <span class="reward">by the reward</span> and, where there is one,
<span class="score">by the independent scorer</span>. The line is the most frequent right answer.</p>
{_floors(report)}
</section>
{_attacks(report)}
<section id="facts"><h2>The environment</h2>
{_facts(report.facts)}
</section>
<section id="tools"><h2>Tools</h2>
{"".join(map(_tool, report.facts.tools)) or "<p>There are none.</p>"}
</section>
<section id="again"><h2>Do it again</h2>
<pre>{escape(command_line(report.environment, report.settings))}</pre>
</section>
</main>
</body>
</html>
"""


def solved_sentence(report: CheckReport) -> str:
    """Say what the solutions solve."""
    source = "Its oracle" if report.oracle.kind == "rules" else "Stating the gold answer (there is no oracle)"
    return f"{source} solves {report.oracle.solved} of {report.oracle.of} tasks."


def turns_sentence(report: CheckReport) -> str:
    """Say what turn settings follow from the solutions; empty where nothing follows."""
    typical, most = report.proposed.typical_turns, report.proposed.max_turns
    if typical is None:
        return ""
    limit = report.facts.turn_limit
    beside = "" if most == limit else f"; the environment's own limit is {limit}"
    return f"A solution takes {typical} turns; max_turns = {most} leaves room{beside}."


def command_line(environment: str, settings: Settings) -> str:
    """Return the command that makes this report."""
    words = ["turnwright", "check", environment, "--seed", str(settings.seed), "--tasks", str(settings.num_tasks)]
    for name, value in settings.options.items():
        words += ["--option", f"{name}={value}"]
    if settings.success_threshold != 1.0:
        words += ["--success-threshold", f"{settings.success_threshold:g}"]
    return shlex.join([*words, *(["--allow-network"] if settings.allow_network else [])])


def _card(finding: Finding) -> str:
    return f"""<article class="finding {finding.severity}">
<h3><code>{escape(finding.code)}</code> <span class="tag">{finding.severity}</span></h3>
<p class="where">{_text(finding.where)}</p>
<p>{_text(finding.evidence)}</p>
<p class="cure"><b>Cure:</b> {_text(finding.cure)}</p>
</article>
"""


def _floors(report: CheckReport) -> str:
    if not report.floors:
        return "<p>Nothing was played.</p>"
    majority = report.floors.get(MAJORITY_CLASS)
    return share_bars(
        report.floors, "Share solved by plays without knowledge", majority.by_reward if majority else None
    )


def _attacks(report: CheckReport) -> str:
    if not report.attacks:
        return ""
    return f"""<section id="attacks"><h2>Right answers in other forms</h2>
<p>Share of solved tasks on which the right answer still counts when it stands beside a wrong one, in the reasoning, in
another tag, negated or cut short; types, fences and further fields are harmless where reward and scorer agree.</p>
{share_bars(report.attacks, "Share of tasks on which a right answer counts in another form")}
</section>"""


def _facts(facts: Facts) -> str:
    rows = {
        "tasks": ", ".join(f"{count} {split}" for split, count in facts.tasks.items()),
        "turn limit": str(facts.turn_limit),
        "time of the world per episode": f"{1000 * facts.seconds_per_episode:.1f} ms",
        "longest opening": f"{facts.longest_opening:,} characters",
        "longest answer of a tool": f"{max((tool.longest_answer for tool in facts.tools), default=0):,} characters",
    }
    table = _table(rows.items())
    return f"{table}<h3>Turns of the solutions</h3>{histogram(facts.turns, 'Solutions by the turns they take')}"


def _tool(tool: ToolFacts) -> str:
    rows = {
        "calls in solutions": f"{tool.calls}, of which {tool.errors} answered with an error",
        "longest answer": f"{tool.longest_answer:,} characters",
        "mean time": f"{tool.mean_ms:.2f} ms",
    }
    schema = _text(json.dumps(tool.parameters, indent=2, ensure_ascii=False, default=str))
    return f"""<details><summary><code>{escape(tool.name)}</code> {_text(tool.description)}</summary>
{_table(rows.items())}<pre>{schema}</pre></details>
"""


def _table(rows: Iterable[tuple[str, str]]) -> str:
    body = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in rows)
    return f"<table><tbody>{body}</tbody></table>"


def _text(text: str) -> str:
    """Return text for the page, without what no page may hold."""
    shown = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."
    return escape("".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in shown))
