"""The report of a run: what it says, that it stands alone, and that missing parts are said plainly."""

import re
import shlex
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from turnwright.config import resolve
from turnwright.core.errors import RunDirectoryError
from turnwright.report.build import LONGEST_TEXT, build_report, reproduction, shorten
from turnwright.report.material import read_material
from turnwright.rundir import RunReader

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Outline(HTMLParser):
    """Collects tags, and fails on any that is closed out of order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open_tags: list[str] = []
        self.headings: list[int] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.tags: set[str] = set()
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        self.ids |= {value for name, value in attrs if name == "id" and value}
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open_tags.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag


@pytest.fixture(scope="module")
def page(full_run: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_report(full_run, tmp_path_factory.mktemp("out") / "report.html").read_text(encoding="utf-8")


def test_report_lies_in_the_run_directory_unless_told_otherwise(
    write_run: Callable[[Path], Path], tmp_path: Path
) -> None:
    root = write_run(tmp_path / "run")
    assert build_report(root) == root / "report.html"
    assert build_report(root, tmp_path / "other.html") == tmp_path / "other.html"


def test_report_reaches_for_nothing_outside_itself(page: str) -> None:
    outline = Outline(page)
    assert not outline.tags & {"script", "link", "img", "iframe", "object"}
    assert "default-src 'none'" in page
    links = [value for name, value in outline.attributes if name in ("href", "src") and value]
    assert links
    assert all(link.startswith("#") and link[1:] in outline.ids for link in links)
    assert "url(" not in page
    assert "@import" not in page


def test_report_is_well_formed_with_headings_in_order(page: str) -> None:
    outline = Outline(page)
    assert outline.open_tags == []
    assert outline.headings[0] == 1
    assert all(after - before <= 1 for before, after in zip(outline.headings, outline.headings[1:], strict=False))


def test_verdict_says_sampled_and_greedy_apart_with_intervals(page: str) -> None:
    assert "Better than the base" in page
    assert re.search(r"One attempt at temperature 1 succeeds on \d+\.\d % of 40 tasks, up from", page)
    assert re.search(r"The greedy attempt succeeds on .* points \(95 % interval \+", page)
    assert page.index("Better than the base") < page.index("Learning curves")


def test_every_chart_is_xml_and_described(page: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) >= 10
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert root.get("role") == "img"
        assert re.search(r"\d", root.get("aria-label") or "")
        assert "nan" not in drawing


def test_what_the_policy_wrote_is_text_and_never_markup(page: str) -> None:
    assert "<i>a fee</i>" not in page
    assert "&lt;i&gt;a fee&lt;/i&gt;" in page
    assert "&lt;final_output&gt;" in page
    assert "<final_output>" not in page


def test_disagreements_come_before_worst_and_best(page: str) -> None:
    places = [page.index(f"<h3>{kind}") for kind in ("Rewarded, but the scorer says no", "Worst", "Failed", "Best")]
    assert places == sorted(places)
    assert "tool_timeout" in page


def test_settings_versions_findings_and_command_are_shown(page: str) -> None:
    assert "algorithm.group_size" in page
    assert "environment.name" in page
    assert "sampling.temperature" not in page
    assert "torch&nbsp;2.13.0" in page
    assert "rollout.tool_errors" in page
    assert "git checkout 0123456789abcdef" in page


def test_reproduction_adds_what_the_file_does_not_say(full_run: Path) -> None:
    commands = reproduction(read_material(full_run))
    assert commands[1] == f"turnwright train {full_run}/config.toml algorithm.group_size=4"


def test_run_without_anything_says_what_is_missing(empty_run: Path, tmp_path: Path) -> None:
    page = build_report(empty_run, tmp_path / "report.html").read_text(encoding="utf-8")
    Outline(page)
    for sentence in (
        "No verdict: nothing was evaluated",
        "No step was recorded",
        "No finished episode was recorded",
        "No check or diagnosis",
        "Every setting has its default",
        "recorded no versions",
    ):
        assert sentence in page


def test_one_evaluation_is_shown_without_a_verdict(write_run: Callable[[Path], Path], tmp_path: Path) -> None:
    root = write_run(tmp_path / "run")
    shutil.rmtree(root / "evaluations" / "base")
    page = build_report(root).read_text(encoding="utf-8")
    assert "No verdict: nothing to compare with" in page
    assert "evaluate the base on the same suite" in page


def test_evaluations_that_cannot_be_compared_say_why(write_run: Callable[[Path], Path], tmp_path: Path) -> None:
    root = write_run(tmp_path / "run")
    path = root / "evaluations" / "base" / "result.json"
    path.write_text(path.read_text().replace('"temperature": 1.0', '"temperature": 0.5'))
    page = build_report(root).read_text(encoding="utf-8")
    assert "No verdict" in page
    assert "temperature is 0.5 in the first" in page


def test_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"manifest\.json"):
        build_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_long_texts_are_cut_and_say_so() -> None:
    assert shorten("x" * (LONGEST_TEXT + 5)).endswith("[5 more characters in the run directory]")
    assert shorten("short") == "short"


def test_domains_of_a_mixture_are_small_charts_on_one_axis_and_rows_of_the_table(mixed_run: Path) -> None:
    page = build_report(mixed_run).read_text(encoding="utf-8")
    Outline(page)
    section = page[page.index("Domains of the mixture") : page.index("Episodes, turn by turn")]
    drawings = re.findall(r"<svg.*?</svg>", section, re.DOTALL)
    assert re.findall(r"<h3>(\w+)</h3>", section) == ["returns", "words"]
    assert len(drawings) == 2
    ticks = [re.findall(r'text-anchor="end">([-\d.]+)<', drawing) for drawing in drawings]
    assert ticks[0] == ticks[1]
    assert "reward: from" in drawings[0]
    assert "val score: from" in drawings[0]
    assert "12 of 24 groups trained on." in section
    assert "Success, sampled, mean of domains" in page
    assert "words (20 tasks), sampled" in page
    assert page.index('href="#domains"') < page.index("Learning curves")


def test_without_a_mixture_there_are_no_domains(page: str) -> None:
    assert "Domains of the mixture" not in page
    assert "mean of domains" not in page


def test_reproduction_of_a_mixture_reads_back(mixed_run: Path) -> None:
    *_, setting = shlex.split(reproduction(read_material(mixed_run))[-1])
    expected = RunReader(mixed_run).config().config.environment
    assert resolve(None, [setting]).config.environment == expected
