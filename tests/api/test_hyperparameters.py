"""Hyperparameters are checked where they are set, and travel as overrides of a command line."""

from pathlib import Path

import pytest

from turnwright.api.hyperparameters import KEYS, Hyperparameters, as_override
from turnwright.config import resolve
from turnwright.core.errors import ConfigError


@pytest.fixture
def hyperparameters() -> Hyperparameters:
    return Hyperparameters(None, ["environment.name=returns_desk", "algorithm.group_size=6"])


def test_a_value_is_read_and_set_by_its_name(hyperparameters: Hyperparameters) -> None:
    assert (hyperparameters.group_size, hyperparameters.learning_rate) == (6, 1e-5)
    hyperparameters.group_size = 4
    hyperparameters.learning_rate = 2e-4
    hyperparameters.max_epochs = None
    assert (hyperparameters.group_size, hyperparameters.learning_rate, hyperparameters.max_epochs) == (4, 2e-4, None)


def test_an_unknown_name_is_an_attribute_error(hyperparameters: Hyperparameters) -> None:
    with pytest.raises(AttributeError, match="no hyperparameter 'grup_size'"):
        hyperparameters.grup_size = 4
    with pytest.raises(AttributeError, match="'path'"):
        hyperparameters.path  # noqa: B018 - the access is what is tested


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("group_size", 1, "algorithm.group_size = 1: expected int, >= 2"),
        ("group_size", "4", "algorithm.group_size = '4': expected int, >= 2"),
        ("loss_fn", "dpo", "expected 'importance_sampling' or 'ppo'"),
        ("learning_rate", 0.0, "expected float, > 0, <= 1"),
    ],
)
def test_a_wrong_value_is_refused_with_type_and_range(
    hyperparameters: Hyperparameters, name: str, value: object, expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected.replace("(", r"\(")):
        setattr(hyperparameters, name, value)
    assert hyperparameters.group_size == 6


def test_values_that_must_fit_each_other_may_be_set_in_any_order(hyperparameters: Hyperparameters) -> None:
    hyperparameters.warmup_steps = 60
    with pytest.raises(ConfigError, match=r"warmup_steps = 60 must be below schedule\.max_steps = 50"):
        hyperparameters.resolve()
    hyperparameters.max_steps = 100
    assert hyperparameters.resolve().config.schedule.max_steps == 100


def test_info_tells_type_range_meaning_and_source(hyperparameters: Hyperparameters) -> None:
    info = hyperparameters.get_info("group_size")
    assert (info.key, info.value, info.default, info.source) == ("algorithm.group_size", 6, 8, "override")
    assert info.expectation == "int, >= 2"
    assert "baseline" in info.description
    assert hyperparameters.get_info("seed").source == "default"


def test_all_of_them_are_listed_by_name(hyperparameters: Hyperparameters) -> None:
    values = hyperparameters.to_dict()
    assert values.keys() == KEYS.keys()
    assert (values["group_size"], values["temperature"], values["seed"]) == (6, 1.0, 1)
    assert {"group_size", "get_info"} <= set(dir(hyperparameters))


def test_a_recipe_is_overridden_by_overrides_and_these_by_attributes(tmp_path: Path) -> None:
    recipe = tmp_path / "run.toml"
    recipe.write_text("[environment]\nname = 'returns_desk'\n[algorithm]\ngroup_size = 16\nglobal_batch_size = 3\n")
    hyperparameters = Hyperparameters(recipe, ["algorithm.group_size=6"])
    assert (hyperparameters.group_size, hyperparameters.global_batch_size) == (6, 3)
    hyperparameters.group_size = 4
    assert hyperparameters.settings == ("algorithm.group_size=6", "algorithm.group_size=4")
    assert resolve(recipe, hyperparameters.settings).config.algorithm.group_size == 4


@pytest.mark.parametrize(
    "value", [4, 1e-05, True, 'a "word" \\ and\nmore', "none of it", [1, 2], {"folder": "a b", "sizes": {"x": [1.5]}}]
)
def test_an_override_says_the_value_as_it_is(value: object) -> None:
    text = as_override("environment.options", {"value": value})
    config = resolve(None, ["environment.name=returns_desk", text]).config
    assert config.environment.options == {"value": value}
