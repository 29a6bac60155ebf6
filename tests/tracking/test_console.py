import io

import pytest
from rich.console import Console

from turnwright.tracking.console import ConsoleSink
from turnwright.tracking.lines import by_domain, duration, reward_half_width

STEP = {
    "rollout/reward/mean": 0.41234,
    "analysis/reward_variance_across_groups": 0.06,
    "training/num_groups": 16.0,
    "analysis/live_groups": 12.0,
    "analysis/zero_adv_nonzero_reward": 1.0,
    "analysis/zero_adv_zero_reward": 3.0,
    "cost/sampled_tokens": 9200.0,
    "timing_s/rollout": 2.0,
    "cost/trained_tokens": 9000.0,
    "timing_s/training": 1.0,
    "rollout/outcome/rewarded_frac": 0.97,
    "rollout/outcome/truncated_frac": 0.02,
    "rollout/outcome/failed_frac": 0.01,
    "rollout/tools/calls": 3.2,
    "rollout/tools/error_frac": 0.05,
    "training/entropy": 0.12,
    "training/kl_to_sampler": 1e-9,
}
VALIDATION = {"val/score/success": 0.5, "val/reward/mean": 0.6}


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def open_sink(*, terminal: bool) -> tuple[ConsoleSink, Clock, io.StringIO]:
    output, clock = io.StringIO(), Clock()
    console = Console(file=output, force_terminal=terminal, width=100, height=40, highlight=False)
    return ConsoleSink(num_steps=10, title="demo", console=console, clock=clock), clock, output


def test_without_a_terminal_each_step_is_one_plain_line():
    sink, clock, output = open_sink(terminal=False)
    sink.metrics(0, VALIDATION)
    clock.now = 3.0
    sink.metrics(1, STEP)
    clock.now = 6.0
    sink.metrics(2, STEP | VALIDATION)
    sink.close()
    assert output.getvalue().splitlines() == [
        "step 0/10  val success 0.500, reward 0.600",
        "step 1/10  3.0 s/step  ETA 0:27  reward 0.412 +- 0.124 (95 %)  tokens/s gen 4,600, train 9,000  "
        "rewarded 97.0%, truncated 2.0%, failed 1.0%  groups 12/16",
        "step 2/10  3.0 s/step  ETA 0:24  reward 0.412 +- 0.124 (95 %)  tokens/s gen 4,600, train 9,000  "
        "rewarded 97.0%, truncated 2.0%, failed 1.0%  groups 12/16  val success 0.500, reward 0.600",
    ]


def test_on_a_terminal_a_panel_of_at_most_12_lines_keeps_the_last_validation():
    sink, clock, output = open_sink(terminal=True)
    sink.metrics(0, VALIDATION)
    clock.now = 3.0
    sink.metrics(1, STEP)
    sink.close()
    panel = output.getvalue().rpartition("demo")[2]
    assert len(panel.strip().splitlines()) <= 12
    for text in ("1/10   3.0 s per step   0:27 left", "12/16 with signal", "success 0.500   reward 0.600   (step 0)"):
        assert text in panel


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_COLOR", "1")
    sink, _, output = open_sink(terminal=True)
    sink.metrics(1, STEP)
    sink.close()
    assert not any(f"\x1b[3{colour}m" in output.getvalue() for colour in range(8))


def test_metrics_that_are_missing_are_left_out():
    sink, _, output = open_sink(terminal=False)
    sink.metrics(1, {"rollout/reward/mean": 0.25})
    assert output.getvalue() == "step 1/10  0.0 s/step  ETA 0:00  reward 0.250\n"


def test_the_eta_follows_the_recent_steps():
    sink, clock, output = open_sink(terminal=False)
    for step in range(1, 6):
        clock.now += 100.0 if step == 1 else 1.0
        sink.metrics(step, {})
    assert "20.8 s/step" in output.getvalue()


def test_the_interval_takes_the_group_as_the_unit():
    # Group means 0, 0, 1, 1: population variance 0.25, standard error sqrt(0.25 / 3).
    half = reward_half_width({"analysis/reward_variance_across_groups": 0.25, "training/num_groups": 4.0})
    assert half == pytest.approx(1.96 * 0.28867513)
    assert reward_half_width({"analysis/reward_variance_across_groups": 0.25, "training/num_groups": 1.0}) is None
    # One of the four was replaced by another of them and is not trained.
    filled = {"analysis/reward_variance_across_groups": 0.25, "training/num_groups": 3.0, "rollout/fill/groups": 1.0}
    assert reward_half_width(filled) == half
    sink, _, output = open_sink(terminal=False)
    sink.metrics(1, STEP | {"rollout/fill/groups": 5.0})
    sink.metrics(2, STEP | {"rollout/fill/groups": 0.0})
    assert [line.rpartition("groups ")[2] for line in output.getvalue().splitlines()] == ["12/16, 5 replaced", "12/16"]


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (65, "1:05"), (3725, "1:02:05")])
def test_durations_read_like_a_clock(seconds: float, text: str):
    assert duration(seconds) == text


def test_domains_of_a_mixture_are_told_apart():
    domains = {
        "returns/rollout/reward/mean": 0.61,
        "returns/score/success": 0.5,
        "words/rollout/reward/mean": 0.2,
        "returns/val/score/success": 0.75,
        "words/val/score/success": 0.25,
        "returns/val/reward/mean": 0.8,
        "val/score/success": 0.5,
    }
    assert by_domain(domains, "score/success") == {"returns": 0.5}
    sink, _, output = open_sink(terminal=False)
    sink.metrics(1, STEP | domains)
    (line,) = output.getvalue().splitlines()
    assert "reward 0.412 +- 0.124 (95 %)  returns 0.610 (0.500), words 0.200  tokens/s" in line
    assert line.endswith("val success 0.500, returns 0.750, words 0.250")
    panel, _, shown = open_sink(terminal=True)
    panel.metrics(0, domains)
    panel.metrics(1, STEP | domains)
    panel.close()
    drawn = shown.getvalue().rpartition("demo")[2]
    assert len(drawn.strip().splitlines()) <= 12
    assert "returns 0.610 (0.500)   words 0.200" in drawn


def test_a_run_whose_rollouts_go_on_beside_training_says_how_old_tokens_are_and_whether_the_learner_waits():
    beside = {
        "training/staleness/mean": 1.25,
        "training/staleness/max": 3.0,
        "timing_s/step": 8.0,
        "timing_s/generation": 1.0,
        "timing_s/tools": 0.5,
        "timing_s/waiting": 0.5,
        "busy_s/overlap": 4.0,
        "busy_s/training": 1.5,
        "rollout/in_flight": 64.0,
        "rollout/concurrency": 96.0,
        "rollout/wasted_frac": 0.004,
    }
    sink, _, output = open_sink(terminal=False)
    sink.metrics(1, STEP | beside)
    # 9,200 tokens in the 5 s in which the engine computed, 9,000 in 1.5 s.
    expected = (
        "tokens/s gen 1,840, train 6,000  stale 1.25 (max 3), waits 25%, in flight 64 of 96, wasted 0.4%  rewarded"
    )
    assert expected in output.getvalue()
    panel, _, shown = open_sink(terminal=True)
    panel.metrics(1, STEP | beside | VALIDATION | {"a/rollout/reward/mean": 0.5})
    panel.close()
    drawn = shown.getvalue().rpartition("demo")[2]
    assert sum("\u2500" in line or "\u2502" in line for line in drawn.splitlines()) == 12
    assert "1.25, at most 3 steps   learner waits 25%   in flight 64 of 96   wasted 0.4%" in drawn


def test_a_validation_before_the_first_step_says_nothing_of_waiting():
    sink, _, output = open_sink(terminal=False)
    sink.metrics(0, VALIDATION | {"timing_s/step": 3.0, "timing_s/waiting": 0.0, "timing_s/eval": 3.0})
    assert output.getvalue() == "step 0/10  val success 0.500, reward 0.600\n"
