"""The audit against environments that are sound, and against one defect at a time."""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import turnwright.audit.schemas as schemas
from turnwright.audit.check import check
from turnwright.audit.report import CheckReport
from turnwright.audit.schemas.write import schema_text
from turnwright.core.episode import Episode
from turnwright.core.errors import EnvironmentLoadError
from turnwright.core.score import Score

SOUND = '''
import json, random, time
from turnwright.core.errors import ToolError
from turnwright.core.task import Task
from turnwright.environments import Environment, call, say, tool

COLORS = ("red", "green", "blue", "grey")

class Desk(Environment):
    """Four colors to look up by order number; the tool is busy for the first call of an episode."""

    instructions = "Look the color up. Answer <final_output>{...}</final_output> with key color."
    typical_turns = 3

    def tasks(self, split):
        first = {"train": 0, "validation": 40, "test": 60}[split]
        count = {"train": 40, "validation": 20, "test": 20}[split]
        return [
            Task(id=f"{split}-{n}", prompt=f"order: {n}", data={"gold": {"color": COLORS[n % 4]}}, split=split,
                 cluster=f"world-{n}")
            for n in range(first, first + count)
        ]

    def open(self, task, seed):
        super().open(task, seed)
        self.busy = True

    @tool
    def lookup(self, order: str) -> dict:
        """Return the color of an order."""
        if self.busy:
            self.busy = False
            raise ToolError("busy")
        return {"color": COLORS[int(order) % 4]}

    def reward(self, episode):
        return 1.0 if episode.answer == self.right(episode) else 0.0

    def right(self, episode):
        return "<final_output>" + json.dumps(episode.task.data["gold"]) + "</final_output>"

    def oracle(self, task):
        order = task.prompt.removeprefix("order: ")
        yield call("lookup", order=order)
        (answer,) = yield call("lookup", order=order)
        yield say("<final_output>" + answer.content + "</final_output>")
'''

Audit = Callable[..., CheckReport]


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    """``audit(class body)`` checks a subclass of the sound environment with that body."""

    def run(body: str = "pass", **arguments: object) -> CheckReport:
        path = tmp_path / "desk.py"
        path.write_text(SOUND + "\nclass Tested(Desk):\n" + "\n".join(f"    {line}" for line in body.splitlines()))
        return asyncio.run(check(f"{path}:Tested", processes=0, **arguments))  # type: ignore[arg-type]

    return run


def codes(report: CheckReport) -> set[str]:
    return {finding.code for finding in report.findings}


@pytest.mark.slow
def test_sound_environment_passes(audit: Audit) -> None:
    report = audit()
    assert report.findings == ()
    assert report.passed
    assert (report.oracle.kind, report.oracle.solved, report.oracle.of) == ("rules", 80, 80)
    assert (report.proposed.typical_turns, report.proposed.max_turns) == (3, 5)
    assert report.floors["nothing"].by_reward == 0.0
    assert report.floors["constant"].by_reward == report.floors["majority_class"].by_reward == 0.25


def test_number_of_tasks_is_a_limit(audit: Audit) -> None:
    assert audit(num_tasks=10).oracle.of == 10


DEFECTS = {
    "randomness of its own": (
        "replay.diff",
        "@tool\ndef lookup(self, order: str) -> float:\n    return random.random()",
    ),
    "the clock": ("replay.diff", "@tool\ndef lookup(self, order: str) -> float:\n    return time.perf_counter_ns()"),
    "reward that wavers": ("replay.diff", "def reward(self, episode):\n    return random.random()"),
    "state that outlives the episode": (
        "replay.diff",
        "served = []\n@tool\ndef lookup(self, order: str) -> dict:\n    self.served.append(order)\n"
        "    return {'served': len(self.served)}",
    ),
    "tasks drawn anew each time": (
        "replay.diff",
        "def tasks(self, split):\n    return [Task(id=f'{split}-{random.random()}', prompt='order: 1')]",
    ),
    "open episode kept in the class": (
        "isolation.crosstalk",
        "now = None\ndef open(self, task, seed):\n    super().open(task, seed)\n    type(self).now = task.id\n"
        "@tool\ndef lookup(self, order: str) -> dict:\n    return {'task': type(self).now}",
    ),
    "reward that nothing satisfies": ("oracle.fails", "def reward(self, episode):\n    return 0.9"),
    "tool that breaks": ("oracle.fails", "@tool\ndef lookup(self, order: str) -> dict:\n    return {}[order]"),
    "oracle that breaks": ("oracle.fails", "def oracle(self, task):\n    yield call('lookup', order={}['x'])"),
    "reward for anything": ("floor.high", "def reward(self, episode):\n    return 1.0"),
    "reward for naming the label anywhere": (
        "grader.multi_label",
        "def reward(self, episode):\n    return float(episode.task.data['gold']['color'] in episode.answer)",
    ),
    "reward for a part of the label": (
        "grader.substring",
        "def reward(self, episode):\n    text = episode.answer.partition('\"color\": \"')[2].partition('\"')[0]\n"
        "    return float(bool(text) and text in episode.task.data['gold']['color'])",
    ),
    "reward that reads the reasoning": (
        "grader.thinking",
        "def reward(self, episode):\n    return float(self.right(episode) in episode.answer)",
    ),
    "turn limit below the solution": ("turns.low", "max_turns = 2"),
    "tasks shared between splits": (
        "split.overlap",
        "def tasks(self, split):\n    return super().tasks('train')",
    ),
    "cluster shared between splits": (
        "split.overlap",
        "def tasks(self, split):\n    return [Task(id=t.id, prompt=t.prompt, data=t.data, split=split, cluster='w')"
        " for t in super().tasks(split)]",
    ),
    "repeated ids": ("tasks.repeated_id", "def tasks(self, split):\n    return super().tasks(split)[:1] * 2"),
    "no task": ("tasks.none", "def tasks(self, split):\n    return []"),
}


@pytest.mark.audit
@pytest.mark.parametrize("defect", DEFECTS)
def test_defect_is_found_and_fails_the_check(defect: str, audit: Audit) -> None:
    code, body = DEFECTS[defect]
    report = audit(body)
    assert code in codes(report)
    assert not report.passed
    for finding in report.findings:
        assert finding.evidence
        assert finding.cure


@pytest.mark.audit
def test_same_defect_on_every_task_is_listed_briefly(audit: Audit) -> None:
    found = [f for f in audit("def reward(self, episode):\n    return 0.0").findings if f.code == "oracle.fails"]
    assert len(found) == 5
    assert "and 75 more" in found[-1].evidence


def test_without_rules_the_ground_truth_is_stated(audit: Audit) -> None:
    report = audit("def oracle(self, task):\n    raise NotImplementedError")
    assert (report.oracle.kind, report.oracle.solved, report.oracle.of) == ("gold", 80, 80)
    assert report.proposed.typical_turns is None
    assert report.passed


def test_without_rules_and_ground_truth_the_check_says_so(audit: Audit) -> None:
    body = "def oracle(self, task):\n    raise NotImplementedError\n"
    body += "def tasks(self, split):\n    return [Task(id=split, prompt='p', split=split)]\n"
    body += "def reward(self, episode):\n    return 0.0"
    report = audit(body)
    assert codes(report) == {"oracle.missing"}
    assert report.passed
    assert set(report.floors) == {"nothing", "echo", "spam", "majority_class"}


def test_scorer_that_disagrees_with_the_reward_fails_the_solutions(audit: Audit) -> None:
    class Never:
        def score(self, episode: Episode) -> Score:
            return Score(success=False)

    report = audit(scorer=Never())
    assert report.oracle.solved == 0
    assert any("the scorer calls the answer" in finding.evidence for finding in report.findings)
    assert report.floors["constant"].by_score == 0.0


@pytest.mark.audit
def test_scorer_that_is_too_kind_is_found(audit: Audit) -> None:
    class Always:
        def score(self, episode: Episode) -> Score:
            return Score(success=True)

    report = audit(scorer=Always())
    assert {finding.where for finding in report.findings if finding.code == "floor.high"} == {"scorer"}


def test_environment_that_does_not_resolve_is_an_error() -> None:
    with pytest.raises(EnvironmentLoadError, match="nowhere"):
        asyncio.run(check("nowhere"))


@pytest.mark.slow
def test_json_has_the_documented_shape(audit: Audit) -> None:
    report = json.loads(audit("max_turns = 2").to_json())
    measured = {"environment", "passed", "findings", "oracle", "floors", "attacks", "proposed", "facts", "settings"}
    assert set(report) == measured
    assert set(report["findings"][0]) == {"code", "severity", "where", "evidence", "cure"}
    assert set(report["oracle"]) == {"kind", "solved", "of"}
    assert set(report["proposed"]) == {"typical_turns", "max_turns"}


def test_shipped_schema_is_what_the_type_says() -> None:
    shipped = (Path(schemas.__file__).parent / "check.json").read_text()
    assert shipped == schema_text(), "run: python -m turnwright.audit.schemas.write"


@pytest.mark.skipif("SOP_BENCH_DIR" not in os.environ, reason="needs SOP_BENCH_DIR")
@pytest.mark.audit
def test_oracle_solves_every_row_of_the_public_domain() -> None:
    folder = Path(os.environ["SOP_BENCH_DIR"]) / "referral_abuse_detection_v1"
    report = asyncio.run(check(f"sop:{folder}"))
    assert (report.oracle.kind, report.oracle.solved, report.oracle.of) == ("rules", 200, 200)
    # Of 200 rows 52.5 % have one label; a floor plays some of them.
    assert report.floors["majority_class"].by_reward == pytest.approx(0.525, abs=0.05)
    assert report.passed


@pytest.mark.audit
def test_demo_environment_passes() -> None:
    report = asyncio.run(check("returns_desk", num_tasks=60))
    assert report.passed, report.findings
