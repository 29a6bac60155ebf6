"""The page of an audit: a whole document, from nowhere else, in which nothing an environment says is markup."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from turnwright.audit.page import command_line, render_page, write_page
from turnwright.audit.page_charts import share_bars
from turnwright.audit.report import CheckReport, Facts, Floor, OracleResult, Proposal, Settings, ToolFacts
from turnwright.core.finding import Finding

HOSTILE = "</pre><script>alert('x')</script><img src=https://example.com/a.png onerror=alert(1)>"
VOID = {"meta"}


class Outline(HTMLParser):
    """Reads a page: elements that were never closed, those that load something, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.loads: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.loads += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href", "action", "onerror")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def report() -> CheckReport:
    finding = Finding(code="leak.answer", severity="error", where=HOSTILE, evidence=HOSTILE, cure=HOSTILE)
    tool = ToolFacts(
        name=HOSTILE,
        description=HOSTILE,
        parameters={HOSTILE: HOSTILE},
        calls=3,
        errors=1,
        longest_answer=70,
        mean_ms=0.5,
    )
    return CheckReport(
        environment=HOSTILE,
        passed=False,
        findings=(finding, replace(finding, severity="info")),
        oracle=OracleResult(kind="rules", solved=9, of=10),
        floors={"constant": Floor(by_reward=0.5, by_score=0.25), "majority_class": Floor(by_reward=0.5)},
        attacks={"negation": Floor(by_reward=1.0)},
        proposed=Proposal(typical_turns=3, max_turns=5),
        facts=Facts(
            tasks={"train": 10},
            turns={"3": 9, "4": 1},
            turn_limit=6,
            seconds_per_episode=0.0015,
            longest_opening=120,
            tools=(tool,),
        ),
        settings=Settings(
            options={"level": "two words"},
            seed=7,
            num_tasks=40,
            success_threshold=1.0,
            scorer="",
            allow_network=False,
        ),
    )


def read(page: str) -> Outline:
    outline = Outline()
    outline.feed(page)
    outline.close()
    return outline


def test_page_is_closed_and_loads_nothing(report: CheckReport) -> None:
    outline = read(render_page(report))
    assert outline.open == []
    assert outline.loads == []
    assert not outline.seen & {"script", "img", "link", "iframe"}
    assert {"svg", "article", "table", "details"} <= outline.seen


def test_what_an_environment_says_is_text(report: CheckReport) -> None:
    page = render_page(report)
    assert "<script" not in page
    assert read(page).text.count("alert('x')") >= 8


def test_page_tells_verdict_numbers_and_how_to_repeat_it(report: CheckReport) -> None:
    text = read(render_page(report)).text
    for part in (
        "Failed",
        "1 error, 1 info",
        "9 of 10 tasks",
        "max_turns = 5",
        "own limit is 6",
        "50% / 25%",
        "1.5 ms",
    ):
        assert part in text
    assert "--seed 7 --tasks 40 --option 'level=two words'" in text


def test_control_characters_and_long_texts_are_cut(report: CheckReport) -> None:
    odd = replace(report.findings[0], evidence="\x00\x1b[31m" + "x" * 5000)
    page = render_page(replace(report, findings=(odd,)))
    assert "\x00" not in page
    assert "\x1b" not in page
    assert "x" * 2001 not in page


def test_page_is_written_where_it_is_asked_for(report: CheckReport, tmp_path: Path) -> None:
    path = tmp_path / "new" / "audit.html"
    write_page(report, path)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_command_names_only_what_was_set(report: CheckReport) -> None:
    bare = replace(report.settings, options={})
    assert command_line("returns_desk", bare) == "turnwright check returns_desk --seed 7 --tasks 40"
    assert command_line("a b", replace(bare, allow_network=True)).endswith(
        "check 'a b' --seed 7 --tasks 40 --allow-network"
    )


def test_bars_are_as_long_as_their_shares() -> None:
    drawn = share_bars({"half": Floor(by_reward=0.5, by_score=0.25)}, "t", reference=0.5)
    assert 'class="reward" x="170" y="4" width="187.0"' in drawn
    assert 'class="score" x="170" y="13" width="93.5"' in drawn
    assert 'class="reference" x1="357.0"' in drawn
