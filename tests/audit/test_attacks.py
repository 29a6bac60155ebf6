"""Right answers in other types and forms: what a reward takes by mistake, and what it may take."""

import asyncio
import json
from pathlib import Path

import pytest

from turnwright.audit.answer_form import AnswerForm, Truths
from turnwright.audit.attacks import ATTACKS, case_twins
from turnwright.audit.check import check
from turnwright.core.episode import Episode
from turnwright.core.score import Score

FORM = AnswerForm(before="<final_output>", after="</final_output>", tag="final_output", is_object=True)
WRITE = {attack.name: attack.write for attack in ATTACKS}

DESK = """
import json, re
from turnwright import Environment, Task, call, say, tool

class Stock(Environment):
    \"\"\"Is an article there, and how often?\"\"\"

    instructions = "Call count with the article. Answer <final_output>{...}</final_output> with keys there and number."

    def tasks(self, split):
        first = {"train": 0, "validation": 12, "test": 18}[split]
        return [
            Task(id=f"{split}-{n}", prompt=f"article: A{n}{split}", split=split,
                 data={"gold": {"there": n % 5 > 1, "number": n % 5}})
            for n in range(first, first + (12 if split == "train" else 6))
        ]

    @tool
    def count(self, article: str) -> dict:
        \"\"\"Return whether an article is there, and its number.\"\"\"
        return self.task.data["gold"]

    def reward(self, episode):
        gold = episode.task.data["gold"]
        found = re.fullmatch("<final_output>(.*)</final_output>", episode.answer, re.DOTALL)
        try:
            given = json.loads(found[1]) if found else None
            return float(isinstance(given, dict) and RIGHT)
        except (ValueError, TypeError, KeyError):
            return 0.0

    def oracle(self, task):
        (told,) = yield call("count", article=task.prompt.removeprefix("article: "))
        yield say("<final_output>" + told.content + "</final_output>")
"""
STRICT = "given == gold"


class Exact:
    """Wants the ground truth as it is."""

    def score(self, episode: Episode) -> Score:
        """Compare text with text."""
        text = episode.answer.removeprefix("<final_output>").removesuffix("</final_output>")
        try:
            return Score(success=json.dumps(json.loads(text)) == json.dumps(episode.task.data["gold"]))
        except ValueError:
            return Score(success=False)


def findings(folder: Path, right: str, scorer: Exact | None = None) -> set[tuple[str, str]]:
    path = folder / "stock.py"
    path.write_text(DESK.replace("RIGHT", right))
    report = asyncio.run(check(f"{path}:Stock", scorer=scorer, processes=0))
    return {(one.code, one.severity) for one in report.findings if one.code.startswith("grader.")}


@pytest.mark.audit
def test_any_text_that_counts_as_true_is_an_error(tmp_path: Path) -> None:
    loose = "bool(given['there']) == gold['there'] and given['number'] == gold['number']"
    assert findings(tmp_path, loose) == {("grader.type", "error")}


@pytest.mark.audit
def test_leniency_is_harmless_until_the_scorer_refuses_it(tmp_path: Path) -> None:
    lenient = "given['there'] == gold['there'] and int(given['number']) == gold['number']"
    assert findings(tmp_path, STRICT, Exact()) == set()
    assert findings(tmp_path, lenient) == set()
    assert findings(tmp_path, lenient, Exact()) == {("grader.lenient", "warning")}


def test_types_change_where_there_are_such() -> None:
    right = {"there": True, "number": 3, "name": "x"}
    assert WRITE["number_as_text"](FORM, right, {}) == FORM.write({**right, "number": "3"})
    assert WRITE["boolean_as_text"](FORM, right, {}) == FORM.write({**right, "there": "true"})
    assert WRITE["false_as_text"](FORM, right, {}) == FORM.write({**right, "there": "false"})
    assert WRITE["false_as_text"](FORM, {"there": False}, {}) is None
    assert WRITE["number_as_text"](FORM, {"there": True}, {}) is None
    assert WRITE["extra_field"](FORM, {"a": 1}, {}) == FORM.write({"a": 1, "remark": "none"})
    assert "```json" in str(WRITE["code_fence"](FORM, right, {}))


def test_capitals_tell_apart_within_one_field_only() -> None:
    truths = Truths(form=FORM, by_task={"1": {"a": "none", "b": "None"}, "2": {"a": "mW", "b": "x"}, "3": {"a": "MW"}})
    assert case_twins(truths, "a") == {"mW": "MW", "MW": "mW"}
    assert case_twins(truths, "b") == {}
