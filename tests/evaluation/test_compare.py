"""Paired comparison: differences by task, verdicts, and refusals."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import turnwright.evaluation.schemas as schemas
from turnwright.core.errors import ConfigError
from turnwright.evaluation.compare import compare
from turnwright.evaluation.result import EvaluationResult, OutcomeShares, TaskResult
from turnwright.evaluation.schemas.write import ADAPTERS, schema_text
from turnwright.evaluation.statistics import wilson_interval

SCHEMAS = Path(schemas.__file__).parent


def result(
    successes: list[int], greedy: list[bool | None], *, checkpoint: str = "base", **changes: Any
) -> EvaluationResult:
    rows = tuple(
        TaskResult(
            task_id=f"t{i}",
            cluster=None,
            attempts=4,
            successes=count,
            failed=0,
            greedy=greedy[i],
            fields={"a": count / 4, "b": 1.0},
        )
        for i, count in enumerate(successes)
    )
    share = wilson_interval(sum(successes), 4 * len(successes))
    made = EvaluationResult(
        suite="test",
        environment="desk",
        options={},
        split="test",
        scorer="final_output",
        reward_is_scorer=False,
        checkpoint=checkpoint,
        step=0,
        tasks_hash="h",
        num_tasks=len(rows),
        attempts=4,
        temperature=1.0,
        seed=0,
        success=share,
        pass_rates=(),
        greedy_success=share,
        field_accuracy=share,
        greedy_field_accuracy=None,
        fields={"a": share, "b": share},
        completion=share,
        reward=share,
        turns_mean=2.0,
        tool_error_fraction=None,
        outcomes=OutcomeShares(rewarded=1.0, truncated=0.0, failed=0.0),
        warnings=(),
        tasks=rows,
    )
    return replace(made, **changes)


BASE = result([0, 1, 2, 1] * 10, [False, True, True, False] * 10)


def test_difference_is_paired_by_task() -> None:
    tuned = result([2, 3, 4, 3] * 10, [True, True, True, False] * 10, checkpoint="tuned")
    comparison = compare(BASE, tuned)
    # Every task gains 2 of 4 attempts: no task varies, so the paired interval has no width.
    assert comparison.success.difference.value == 0.5
    assert (comparison.success.difference.low, comparison.success.difference.high) == (0.5, 0.5)
    assert (comparison.success.base, comparison.success.tuned) == (0.25, 0.75)
    assert comparison.greedy_success is not None
    assert comparison.greedy_success.difference.value == 0.25
    assert comparison.field_accuracy is not None
    assert comparison.field_accuracy.difference.value == 0.25
    assert comparison.fields["b"].difference.value == 0.0
    assert comparison.verdict == "better"
    assert comparison.exit_code == 0


def test_pairing_ignores_the_order_of_tasks() -> None:
    tuned = result([4, 1, 2, 1] * 10, [False] * 40)
    assert compare(BASE, replace(tuned, tasks=tuned.tasks[::-1])).success == compare(BASE, tuned).success


def test_wholly_negative_interval_is_worse_and_exits_with_4() -> None:
    comparison = compare(BASE, result([0, 0, 0, 0] * 10, [False, True, True, False] * 10))
    assert comparison.verdict == "worse"
    assert comparison.exit_code == 4


def test_interval_around_zero_is_the_same() -> None:
    comparison = compare(BASE, result([1, 0, 1, 2] * 10, [False, True, True, False] * 10))
    assert comparison.verdict == "same"


def test_sampled_gain_with_a_greedy_loss_is_worse() -> None:
    assert compare(BASE, result([4] * 40, [False] * 40)).verdict == "worse"


def test_attempts_lost_on_one_side_leave_the_pair_out() -> None:
    tuned = result([4] * 40, [None] + [True] * 39)
    lost = replace(tuned.tasks[0], attempts=0, successes=0, failed=4, fields={})
    comparison = compare(BASE, replace(tuned, tasks=(lost, *tuned.tasks[1:]), warnings=("one lost",)))
    assert comparison.num_tasks == 40
    assert comparison.success.num_tasks == 39
    assert comparison.greedy_success is not None
    assert comparison.greedy_success.num_tasks == 39
    assert comparison.warnings == ("tuned: one lost",)


@pytest.mark.parametrize(
    "change",
    [{"scorer": "m:C"}, {"tasks_hash": "other"}, {"temperature": 0.5}, {"split": "train"}, {"options": {"a": 1}}],
)
def test_results_that_differ_in_more_than_the_checkpoint_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))):
        compare(BASE, replace(BASE, **change))


def test_nothing_scored_is_refused() -> None:
    empty = replace(BASE, tasks=tuple(replace(task, attempts=0, successes=0) for task in BASE.tasks))
    with pytest.raises(ConfigError, match="nothing to compare"):
        compare(BASE, empty)


@pytest.mark.parametrize("file_name", ADAPTERS)
def test_shipped_schema_is_what_the_types_say(file_name: str) -> None:
    shipped = (SCHEMAS / file_name).read_text()
    assert shipped == schema_text(file_name), "run: python -m turnwright.evaluation.schemas.write"


def test_real_output_fits_the_shipped_schema() -> None:
    comparison = compare(BASE, result([4] * 40, [True] * 40, checkpoint="tuned"))
    for file_name, text in (("comparison.json", comparison.to_json()), ("evaluation.json", BASE.to_json())):
        schema = json.loads((SCHEMAS / file_name).read_text())
        assert list(misfits(json.loads(text), schema, schema)) == []
        broken = json.loads(text) | {"num_tasks": "many"}
        assert list(misfits(broken, schema, schema)) == ["$.num_tasks"]


def misfits(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], where: str = "$") -> list[str]:
    """Check the JSON Schema keywords that these schemas use."""
    if "$ref" in schema:
        return misfits(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root, where)
    if "anyOf" in schema:
        return [] if any(not misfits(value, choice, root, where) for choice in schema["anyOf"]) else [where]
    if "enum" in schema and value not in schema["enum"]:
        return [where]
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}
    kind = schema.get("type")
    if kind == "null":
        return [] if value is None else [where]
    if kind and (not isinstance(value, kinds[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return [where]
    found = [f"{where}.{name}" for name in schema.get("required", ()) if name not in value]
    if kind == "object":
        extra = schema.get("additionalProperties", True)
        for name, inner in value.items():
            rule = schema.get("properties", {}).get(name, extra)
            found += misfits(inner, rule, root, f"{where}.{name}") if isinstance(rule, dict) else []
    if kind == "array":
        for index, inner in enumerate(value):
            found += misfits(inner, schema.get("items", {}), root, f"{where}[{index}]")
    return found
