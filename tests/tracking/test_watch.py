"""What a picture of a run looks like."""

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from turnwright.core.finding import Finding
from turnwright.tracking.picture import Picture
from turnwright.tracking.recent import summarise_steps
from turnwright.tracking.watch import News, View, cells, closing_words, describe_picture, sparkline

FULL: dict[str, float] = {
    "rollout/reward/mean": 0.5,
    "analysis/reward_variance_across_groups": 0.06,
    "training/num_groups": 16.0,
    "val/score/success": 0.25,
    "cost/sampled_tokens": 9000.0,
    "cost/trained_tokens": 9000.0,
    "timing_s/step": 10.0,
    "timing_s/generation": 3.0,
    "timing_s/tools": 1.0,
    "timing_s/waiting": 0.5,
    "timing_s/training": 4.0,
    "timing_s/weight_update": 0.5,
    "timing_s/eval": 0.5,
    "timing_s/save_checkpoint": 0.25,
    "timing_s/other": 0.25,
    "busy_s/overlap": 1.5,
    "busy_s/training": 4.5,
    "training/staleness/mean": 1.25,
    "training/staleness/max": 3.0,
    "rollout/wasted_frac": 0.004,
    "rollout/in_flight": 64.0,
    "rollout/concurrency": 96.0,
    "rollout/ready_groups": 3.0,
    "rollout/outcome/failed_frac": 0.02,
}


def picture(*records: Mapping[str, float], **changes: object) -> Picture:
    """Return a run that is at the step after its last record."""
    metrics = tuple({"step": float(i), "time": 100.0 + i, **values} for i, values in enumerate(records, start=1))
    recent = summarise_steps(metrics)
    plain = Picture(
        name="demo",
        path=Path("runs/demo"),
        state="rollout",
        message="",
        launch=1,
        step=recent.step + 1,
        num_steps=20,
        is_last_step_known=True,
        seconds_left=245.0,
        recent=recent,
        metrics=metrics,
        staleness_bound=3,
        failed_limit=0.2,
        watchdog_seconds=300.0,
        open_groups=2,
        ended_attempts=3,
        wanted_attempts=16,
        findings=(),
        silent_seconds=2.0,
    )
    return replace(plain, **changes)


def texts(shown: Picture, *, ascii_only: bool = True) -> dict[str, str]:
    return {line.label: str(line.text).strip() for line in describe_picture(shown, ascii_only=ascii_only)}


def test_everything_there_is_to_see():
    assert texts(picture(FULL, FULL | {"val/score/success": 0.75})) == {
        "run": "rollout, step 3/20   10.0 s per step   4:05 left",
        # 32 groups of variance 0.06: 1.96 sqrt(0.06 / 31).
        "reward": "0.500 +- 0.086 (95 %)   over 2 steps",
        "validation": "solved 0.250 (step 1) 18 0.750 (step 2)",
        "tokens/s": "generation 2,000   training 2,000",
        "staleness": "mean 1.25, max 3, bound 3   wasted 0.4%",
        "time": "G" * 18 + "o" * 6 + "." * 3 + "T" * 24 + "U" * 3 + "E" * 3 + "SS-",
        "": "T training 40%  G generation 30%  o tools 10%  . waiting 5%  U weights 5%  E evaluation 5%  "
        "S saving 2%  - other 2%  overlap 15%",
        "in flight": "64 of 96 episodes   2 open groups, 3 of 16 attempts ended   3 ready",
        "health": "! failed 2.0% of at most 20%",
        "last sign": "2 s ago",
    }


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_panel_has_at_most_12_lines_on_any_terminal(width: int):
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=width, height=40, highlight=False)
    with View(console) as view:
        view.draw(picture(FULL, message="engine: no pass for 5 minutes " * 20))
    drawn = output.getvalue().rpartition("demo")[2].splitlines()
    shown = [line for line in drawn if "\u2500" in line or "\u2502" in line]
    assert len(shown) == 12
    assert "last sign" in shown[-2]


def test_what_is_not_known_is_left_out():
    assert texts(picture(num_steps=None, seconds_left=None, open_groups=0)) == {
        "run": "rollout, step 1",
        "last sign": "2 s ago",
    }
    assert texts(picture({}, is_last_step_known=False))["run"] == "rollout, step 2 of at most 20   4:05 left"


def test_a_synchronous_run_says_nothing_of_staleness():
    fresh = FULL | {"training/staleness/mean": 0.0, "training/staleness/max": 0.0, "rollout/wasted_frac": 0.0}
    assert "staleness" not in texts(picture(fresh, staleness_bound=0))
    assert texts(picture(fresh))["staleness"] == "mean 0.00, max 0, bound 3   wasted 0.0%"


def test_the_best_validation_is_named_when_it_is_not_the_last():
    curve = picture(*({"val/reward/mean": value} for value in (0.1, 0.6, 0.6, 0.36)))
    assert texts(curve)["validation"] == "reward 0.100 (step 1) 1885 0.360 (step 4)   best 0.600 (step 2)"
    assert texts(curve, ascii_only=False)["validation"].split()[4] == "\u2581\u2588\u2588\u2585"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("good", "failed 0.5% of at most 20%")),
        ({"silent_seconds": 40.0}, ("warning", "no sign of life for 40 s")),
        ({"silent_seconds": 400.0}, ("bad", "no sign of life for 7 min")),
        ({"silent_seconds": 400.0, "state": "finished"}, ("good", "failed 0.5% of at most 20%")),
        ({"message": "agent order-4#1: no answer for 300 s"}, ("warning", "agent order-4#1: no answer for 300 s")),
        ({"message": "was at it", "state": "interrupted"}, ("bad", "interrupted: no process writes the run")),
        ({"message": "tool_error in 30 of 40", "state": "paused"}, ("bad", "paused: tool_error in 30 of 40")),
        ({"failed_limit": 0.004}, ("bad", "failed 0.5% of at most 0%")),
    ],
)
def test_the_worst_light_comes_first(changes: dict[str, object], expected: tuple[str, str]):
    first = picture(FULL | {"rollout/outcome/failed_frac": 0.005}, **changes).lights[0]
    assert (first.level, first.text) == expected


def test_findings_are_lights():
    flat = Finding(code="reward.flat", severity="warning", where="step 9", evidence="flat", cure="wait")
    note = replace(flat, severity="info", code="note")
    broken = replace(flat, severity="error", code="canary", where="step 2")
    assert not picture(findings=(note,)).lights
    (light,) = picture(findings=(broken, flat, note)).lights
    assert (light.level, light.text) == ("bad", "reward.flat (step 9), 2 findings")


def test_plain_lines_say_what_is_new():
    news = News()
    first = picture(FULL)
    assert list(news.since_last(first)) == [
        "demo: rollout, step 2/20",
        "step 1/20  10.0 s/step  ETA 4:05  reward 0.500 +- 0.124 (95 %)  tokens/s gen 2,000, train 2,000  "
        "stale 1.25 (max 3), waits 45%, in flight 64 of 96, wasted 0.4%  failed 2.0%  val success 0.250",
        "step 2: failed 2.0% of at most 20%",
    ]
    assert list(news.since_last(first)) == []
    assert list(news.since_last(replace(first, silent_seconds=40.0))) == ["step 2: no sign of life for 40 s"]
    assert list(news.since_last(replace(first, silent_seconds=41.0))) == []
    assert list(news.since_last(first)) == []
    assert list(news.since_last(replace(first, silent_seconds=31.0))) == ["step 2: no sign of life for 31 s"]


def test_plain_lines_follow_a_resumed_run():
    news, before = News(), picture({}, {}, {}, seconds_left=None)
    assert len(list(news.since_last(before))) == 4
    # Step 3 was taken back and is made again, at another time.
    resumed = picture({}, {}, seconds_left=None, launch=2)
    assert list(news.since_last(resumed)) == ["resumed by process 2, reported up to step 2"]
    again = replace(resumed, metrics=(*resumed.metrics, {"step": 3.0, "time": 500.0, "timing_s/step": 2.0}))
    assert list(news.since_last(again)) == ["step 3/20  2.0 s/step"]


def test_plain_lines_begin_with_the_last_ten_steps():
    shown = list(News().since_last(picture(*({} for _ in range(25)))))
    assert shown == [
        "demo: rollout, step 26/20",
        *(f"step {step}/20" for step in range(16, 25)),
        "step 25/20  ETA 4:05",
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"state": "finished"}, ["finished at step 2", "next:", "  turnwright report 'my runs/demo'"]),
        (
            {"state": "failed", "message": "TrainingError('nan')"},
            [
                "failed at step 2: TrainingError('nan')",
                "log: 'my runs/demo/logs/latest/run.log'",
                "to continue: turnwright train --resume 'my runs/demo'",
            ],
        ),
        (
            {"state": "stopped"},
            [
                "stopped at step 2",
                "log: 'my runs/demo/logs/latest/run.log'",
                "to continue: turnwright train --resume 'my runs/demo'",
            ],
        ),
        (
            {"state": "interrupted", "silent_seconds": 7300.0},
            [
                "interrupted at step 2: no process writes the run, the last sign of life is 2 h old",
                "log: 'my runs/demo/logs/latest/run.log'",
                "to continue: turnwright train --resume 'my runs/demo'",
            ],
        ),
    ],
)
def test_the_last_words_say_what_to_do_next(changes: dict[str, object], expected: list[str]):
    assert list(closing_words(picture({}, path=Path("my runs/demo"), **changes))) == expected


def test_a_sparkline_of_equal_values_is_flat():
    assert sparkline([0.5, 0.5], ascii_only=True) == "11"


@given(st.dictionaries(st.text(max_size=3), st.floats(1e-6, 1.0), min_size=1, max_size=9), st.integers(0, 80))
def test_cells_are_all_given_and_none_is_off_by_one_or_more(shares: dict[str, float], width: int):
    given_cells = cells(shares, width)
    assert sum(given_cells.values()) == width
    whole = sum(shares.values())
    assert all(abs(given_cells[name] - share * width / whole) < 1.0 + 1e-9 for name, share in shares.items())
