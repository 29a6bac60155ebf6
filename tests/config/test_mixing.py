"""A mixture in a run.toml: its members, where their values come from, and what is refused."""

import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from turnwright.config import ResolvedConfig, resolve, resolve_values
from turnwright.config.resolved import as_text
from turnwright.core.errors import ConfigError
from turnwright.core.quota import Quota

MIXTURE = """
[environment.mixture.returns]
name = "returns_desk"
weight = 2
options = { train_tasks = 120 }

[environment.mixture.words]
name = "procedures"
scorer = "final_output"
"""


def write(folder: Path, text: str = MIXTURE) -> Path:
    path = folder / "run.toml"
    path.write_text(text)
    return path


def mixture(**members: dict[str, Any]) -> dict[str, Any]:
    return {"environment": {"mixture": {name: {"name": "procedures", **member} for name, member in members.items()}}}


def problem(values: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve_values(values, source="run.toml")
    return str(caught.value)


def test_members_have_weights_options_and_scorers(tmp_path: Path) -> None:
    choice = resolve(write(tmp_path)).config.environment
    assert (choice.name, choice.title) == (None, "mixture of returns and words")
    returns, words = choice.mixture["returns"], choice.mixture["words"]
    assert (returns.name, returns.weight, returns.options) == ("returns_desk", 2.0, {"train_tasks": 120})
    assert (words.name, words.weight, words.options, words.scorer) == ("procedures", 1.0, {}, "final_output")


def test_a_value_of_one_member_can_be_overridden_and_is_shown_with_its_sources(tmp_path: Path) -> None:
    resolved = resolve(
        write(tmp_path), ["environment.mixture.words.weight=3.5", "environment.mixture.more.name=prompts"]
    )
    assert resolved.config.environment.mixture["words"].weight == 3.5
    assert list(resolved.config.environment.mixture) == ["returns", "words", "more"]
    assert resolved.get_info("environment.mixture").source == "run.toml + override"
    again = ResolvedConfig.from_json(resolved.to_json())
    assert again.config == resolved.config


def test_a_mixture_written_as_an_override_reads_back(tmp_path: Path) -> None:
    values = {**mixture(a={"weight": 2.0, "options": {"seed": 3, "odd key": [1, "x"]}}, b={})}
    resolved = resolve_values(values, source="run.toml")
    text = as_text(resolved.get_info("environment.mixture").value)
    assert resolve(None, [f"environment.mixture={text}"]).config.environment == resolved.config.environment


@pytest.mark.parametrize(
    ("weight", "said"),
    [
        (0, "environment.mixture.a.weight = 0: expected greater than 0. Its share of the groups"),
        (-1.5, "environment.mixture.a.weight = -1.5: expected greater than 0"),
        (float("nan"), "environment.mixture.a.weight = nan: expected a finite number"),
        (float("inf"), "environment.mixture.a.weight = inf: expected a finite number"),
        ("2", "environment.mixture.a.weight = '2': expected a valid number"),
    ],
)
def test_a_weight_is_a_positive_number(weight: Any, said: str) -> None:
    assert said in problem(mixture(a={"weight": weight}))


@pytest.mark.parametrize("domain", ["Returns", "re turns", "returns/desk", "", "r\u00fcckgabe", "a.b"])
def test_a_domain_is_written_so_that_it_can_begin_a_metric(domain: str) -> None:
    assert f"has a domain {domain!r}: expected lower-case letters, digits and _ alone" in problem(
        mixture(**{domain: {}})
    )


@pytest.mark.parametrize("domain", ["rollout", "val", "analysis", "training", "score", "timing_s", "cost", "eval"])
def test_a_domain_is_no_family_of_metrics(domain: str) -> None:
    assert f"has a domain '{domain}', which is a family of metrics" in problem(mixture(**{domain: {}}))


def test_one_environment_or_a_mixture() -> None:
    assert "environment.name is missing" in problem({"environment": {}})
    both = mixture(a={})
    both["environment"]["name"] = "returns_desk"
    assert "environment.name = 'returns_desk' and environment.mixture (a) exclude each other" in problem(both)
    options = mixture(a={})
    options["environment"]["options"] = {"seed": 1}
    assert "environment.options (seed) has no effect on a mixture" in problem(options)


def test_members_are_named_in_errors(tmp_path: Path) -> None:
    assert "unknown setting 'environment.mixture.a.wieght'; a member of a mixture has: name" in problem(
        mixture(a={"wieght": 1})
    )
    assert "environment.mixture.a.name is missing: As ``environment.name``" in problem(
        {"environment": {"mixture": {"a": {}}}}
    )
    assert "environment.mixture.a = 'returns_desk'" in problem({"environment": {"mixture": {"a": "returns_desk"}}})


def test_a_domain_written_twice_is_no_toml(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not valid TOML"):
        resolve(write(tmp_path, MIXTURE + '[environment.mixture.returns]\nname = "prompts"\n'))


def test_text_of_plain_values_is_toml() -> None:
    for value in ({"size": 3, "deep": {"on": True}}, [1, 2], 0.5, True):
        assert tomllib.loads(f"value = {as_text(value)}")["value"] == value
    assert (as_text(None), as_text("two words")) == ("none", "two words")


def test_the_example_deals_as_its_readme_says() -> None:
    example = Path(__file__).parents[2] / "examples" / "mixture" / "run.toml"
    resolved = resolve(example, ["environment.mixture.words.weight=3"])
    quota = Quota({domain: member.weight for domain, member in resolved.config.environment.mixture.items()})
    steps = range(0, 31, resolved.config.algorithm.global_batch_size)
    assert len(steps) == 6
    counts = [quota.count("returns", done) for done in steps]
    assert {after - before for before, after in pairwise(counts)} == {2, 3}
    assert (counts[-1], quota.count("words", 30)) == (12, 18)
