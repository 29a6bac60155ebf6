"""Build the report: one HTML file without scripts, fonts or images from elsewhere, written beside the run's records."""

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from turnwright.config.resolved import as_text
from turnwright.report.charts import interval_chart, line_chart
from turnwright.report.curves import draw_curves, draw_domains
from turnwright.report.examples import count_disagreements, pick_examples, reward_of
from turnwright.report.material import Material, read_material
from turnwright.report.stacks import draw_time, time_chart
from turnwright.report.tables import comparison_rows, greedy_flips, interval_bars
from turnwright.report.verdict import judge
from turnwright.rundir.files import write_atomic
from turnwright.rundir.layout import RunLayout

TEMPLATES = Path(__file__).parent / "templates"
LONGEST_TEXT = 6_000
"""Characters of one message that are shown; the run directory has the rest."""


def build_report(run_dir: Path, out: Path | None = None) -> Path:
    """Write the report of a run and return its path, ``report.html`` in the run directory unless ``out`` is given.

    A run that is still going, or lacks parts, gives a report that says what is missing.

    Raises:
        RunDirectoryError: ``run_dir`` is no run directory, or a file in it is damaged.
    """
    target = out or RunLayout(run_dir).report
    write_atomic(target, render(read_material(run_dir)))
    return target


def render(material: Material) -> str:
    """Return the report's HTML."""
    # Imported here: jinja2 belongs to the extra [train], and this module to the base install.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(shorten=shorten, as_text=as_text, reward=reward_of)
    return templates.get_template("report.html.j2").render(**_variables(material))


def shorten(text: str) -> str:
    """Return the text, cut where it is longer than a page can show."""
    if len(text) <= LONGEST_TEXT:
        return text
    return f"{text[:LONGEST_TEXT]}\n[{len(text) - LONGEST_TEXT} more characters in the run directory]"


def reproduction(material: Material) -> tuple[str, ...]:
    """Return the commands that do the run again: its config file, and what was given on top of it."""
    given = RunLayout(material.path).config_given
    has_file = given.is_file() and given.stat().st_size > 0
    overrides = [
        f"{setting.key}={as_text(setting.value)}"
        for setting in material.changed_settings
        if not has_file or not {"override", "argument"}.isdisjoint(setting.source.split(" + "))
    ]
    commands = [f"git checkout {material.manifest.git_sha}"] if material.manifest.git_sha else []
    if has_file or overrides:
        source = [str(given)] if has_file else []
        commands.append(shlex.join(["turnwright", "train", *source, *overrides]))
    return tuple(commands)


def _variables(material: Material) -> dict[str, Any]:
    config = material.config.config if material.config else None
    threshold = config.validation.success_threshold if config else 1.0
    suites = [
        {
            "suite": suite,
            "rows": comparison_rows(suite),
            "flips": greedy_flips(suite),
            "chart": interval_chart(f"Suite {suite.suite}: base against tuned", bars)
            if (bars := interval_bars(suite))
            else "",
        }
        for suite in material.suites
    ]
    return {
        "material": material,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "verdict": judge(material.suites),
        "suites": suites,
        "charts": [
            *((chart, line_chart(chart)) for chart in draw_curves(material)),
            *([(time, draw_time(time))] if (time := time_chart(material.metrics)) else []),
        ],
        "domains": [(chart, line_chart(chart)) for chart in draw_domains(material)],
        "examples": pick_examples(material.episodes, success_threshold=threshold),
        "disagreements": count_disagreements(material.episodes, success_threshold=threshold),
        "reproduction": reproduction(material),
    }
