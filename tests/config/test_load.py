import json
from pathlib import Path
from typing import Any

import pytest

from turnwright.config import ResolvedConfig, RunConfig, resolve, resolve_values
from turnwright.config.problems import known_keys
from turnwright.core.errors import ConfigError

MINIMAL = {"environment": {"name": "orders"}}


def write(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text)
    return path


def problem(values: dict[str, Any], *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve_values(values, source="run.toml", overrides=overrides)
    return str(caught.value)


def test_each_value_knows_its_source(tmp_path: Path) -> None:
    path = write(tmp_path, '[environment]\nname = "orders"\n[algorithm]\ngroup_size = 4\nglobal_batch_size = 8\n')
    resolved = resolve(path, ["algorithm.group_size=16"])
    found = {
        s.key: (s.value, s.source)
        for s in resolved.settings()
        if s.key.startswith(("algorithm.group", "algorithm.global"))
    }
    assert found == {"algorithm.group_size": (16, "override"), "algorithm.global_batch_size": (8, "run.toml")}
    assert resolved.get_info("group_size").default == 8
    assert resolved.get_info("loss_fn").source == "default"


def test_later_override_wins_and_values_are_toml_literals_or_bare_words() -> None:
    overrides = [
        "run.seed=2",
        "run.seed=3",
        "model.path=some/folder",
        "validation.pass_k_values=[1, 2]",
        "environment.options.catalogue=spring",
        "schedule.max_epochs=none",
        'run.output_dir="two words"',
    ]
    config = resolve_values(MINIMAL, source="run.toml", overrides=overrides).config
    assert (config.run.seed, config.model.path, config.validation.pass_k_values) == (3, "some/folder", (1, 2))
    assert (config.environment.options, config.schedule.max_epochs) == ({"catalogue": "spring"}, None)
    assert config.run.output_dir == "two words"


def test_options_from_file_and_override_show_both_sources() -> None:
    values = {"environment": {"name": "orders", "options": {"size": 3}}}
    resolved = resolve_values(values, source="run.toml", overrides=["environment.options.kind=b"])
    assert resolved.config.environment.options == {"size": 3, "kind": "b"}
    assert resolved.get_info("environment.options").source == "run.toml + override"


def test_resolving_leaves_the_given_values_alone() -> None:
    values = {"environment": {"name": "orders", "options": {"size": 3}}}
    resolve_values(values, source="argument", overrides=["environment.options.size=4"])
    assert values == {"environment": {"name": "orders", "options": {"size": 3}}}


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("algorithm.groupsize=4", ["unknown setting 'algorithm.groupsize'", "'algorithm.group_size'"]),
        ("sampling.group_size=4", ["unknown setting 'sampling.group_size'", "'algorithm.group_size'"]),
        ("algoritm.group_size=4", ["unknown setting 'algoritm'", "'algorithm'"]),
        ("run.zzz=4", ["unknown setting 'run.zzz'", "run.seed"]),
        ("algorithm.group_size=1", ["algorithm.group_size = 1", "greater than or equal to 2", "Attempts at one task"]),
        ("algorithm.group_size=4.0", ["algorithm.group_size = 4.0", "valid integer"]),
        ("run.deterministic=1", ["run.deterministic = 1", "valid boolean"]),
        ("algorithm.loss_fn=grpo", ["algorithm.loss_fn = 'grpo'", "'ppo'"]),
        ("optimizer.learning_rate=nan", ["optimizer.learning_rate", "finite"]),
        ("run.name=a/b", ["run.name = 'a/b'"]),
        ("environment.name.deeper=1", ["'environment.name' is a value"]),
        ("validation.pass_k_values=[1, 2", ["not a TOML value"]),
        ("group_size=4", ["not of the form section.key=value"]),
        ("algorithm.group_size", ["not of the form section.key=value"]),
    ],
)
def test_a_wrong_value_is_named_with_its_cure(override: str, parts: list[str]) -> None:
    message = problem(MINIMAL, override)
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("overrides", "part"),
    [
        (["algorithm.updates_per_step=17"], "algorithm.updates_per_step = 17 is more than"),
        (["optimizer.warmup_steps=50"], "optimizer.warmup_steps = 50 must be below schedule.max_steps = 50"),
        (["warmstart.steps=20"], "warmstart.warmup_steps = 20 must be below"),
        (["validation.val_group_size=4"], "has no effect with validation.val_temperature = 0.0"),
        (["tracking.mlflow_uri=http://x"], "has no effect with tracking.mlflow = false"),
        (["sampling.max_sequence_length=1024"], "leaves no room for its prompt"),
        (["inference.max_queue=95"], "at least rollout.rollout_max_concurrency = 96"),
        (["model.lora_alpha=8.0"], "model.lora_alpha = 8.0 has no effect with model.lora_rank = 0"),
        (["model.dtype=bfloat16"], "set learner.sampler_gap_warn=0.02"),
        (["rollout.rollout_min_concurrency=97"], "must be at most rollout.rollout_max_concurrency = 96"),
        (["schedule.keep_best=2"], "schedule.keep_best = 2 has no effect without schedule.keep_last"),
        (
            ["run.deterministic=true", "async_config.max_steps_off_policy=1"],
            "run.deterministic = true cannot hold with async_config.max_steps_off_policy = 1",
        ),
        (
            ["run.deterministic=true", "rollout.rollout_min_concurrency=4"],
            "run.deterministic = true cannot hold with rollout.rollout_min_concurrency = 4",
        ),
    ],
)
def test_values_at_odds_with_each_other_are_refused(overrides: list[str], part: str) -> None:
    assert part in problem(MINIMAL, *overrides)


def test_every_problem_is_reported_at_once() -> None:
    message = problem({"environment": {}}, "algorithm.group_size=1", "run.sed=2")
    assert [line.split(":")[0] for line in message.splitlines()] == [
        "unknown setting 'run.sed'; did you mean 'run.seed'?",
        "environment.name is missing",
        "algorithm.group_size = 1",
    ]


def test_missing_environment_says_what_to_write() -> None:
    assert "environment.name=..." in problem({})


def test_unreadable_files_are_config_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no configuration file"):
        resolve(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match="not a text file"):
        resolve(tmp_path)
    with pytest.raises(ConfigError, match="not valid TOML"):
        resolve(write(tmp_path, "[run\n"))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["agent.kind=http"], "agent.target must say where the agent is"),
        (["agent.target=a:b"], "agent.target = 'a:b' has no effect with agent.kind = 'builtin'"),
        (["agent.kind=queue", "agent.target=a:b"], "has no effect with agent.kind = 'queue'"),
        (["agent.public_columns=['table']"], "agent.public_columns has no effect"),
        (["agent.kind=queue", "agent.options.a=b"], "agent.options has no effect"),
        (["agent.kind=queue", "run.deterministic=true"], "run.deterministic = true cannot hold"),
        (["rollout.rollout_launches_per_second=5.0"], "rollout_launches_per_second has no effect"),
        (["agent.context_policy=drop_oldest"], "needs agent.context_tokens"),
        (["agent.context_tokens=900"], "agent.context_tokens = 900 has no effect with agent.context_policy = 'none'"),
        (
            ["agent.context_policy=cap_tool_output", "agent.tool_output_tokens=64", "agent.keep_results=3"],
            "agent.keep_results = 3 has no effect",
        ),
        (["agent.kind=queue", "agent.context_policy=summarise"], "keeps its own history"),
        (["gateway.tls_key=key.pem"], "belong together"),
        (["gateway.hand_out_aws_keys=true"], "gateway.hand_out_aws_keys = true has no effect"),
        (["gateway.require_scoped_tokens=true", "gateway.accept_unscoped_tokens=true"], "contradict each other"),
    ],
)
def test_an_agent_and_its_gateway_take_only_what_they_honour(overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        resolve_values(MINIMAL, source="run.toml", overrides=overrides)
    assert said in str(refused.value)
    assert "{" not in str(refused.value)


def test_resolved_json_reads_back_to_the_same_configuration() -> None:
    overrides = ["schedule.max_epochs=none", "environment.options.size=3", "evaluation.scorer=final_output"]
    resolved = resolve_values(MINIMAL, source="run.toml", overrides=overrides)
    again = ResolvedConfig.from_json(resolved.to_json())
    assert again.config == resolved.config
    assert again.to_json() == resolved.to_json()
    assert json.loads(resolved.to_json())["run.seed"] == {"value": 1, "source": "default"}


def test_configuration_is_frozen() -> None:
    config = resolve_values(MINIMAL, source="run.toml").config
    with pytest.raises(ValueError, match="frozen"):
        config.run.seed = 2  # pyright: ignore[reportAttributeAccessIssue]


def test_every_setting_is_described_and_listed() -> None:
    resolved = resolve_values(MINIMAL, source="run.toml")
    assert [s.key for s in resolved.settings() if not s.description] == []
    assert [line.split()[0] for line in resolved.describe().splitlines()] == list(known_keys())


CHANGED: dict[str, Any] = {
    "agent.kind": "queue",
    "agent.target": None,
    "agent.public_columns": None,
    "agent.options": None,
    "rollout.rollout_launches_per_second": None,
    "gateway.tls_certificate": None,
    "gateway.tls_key": None,
    "gateway.sampling": "request",
    "gateway.hand_out_aws_keys": None,
    "gateway.max_sampled_tokens": 99,
    "environment.options": {"size": 3},
    "environment.mixture": None,
    "validation.val_group_size": None,
    "learner.sampler_gap_warn": 0.02,
    "sampling.max_sequence_length": 4096,
    "model.dtype": None,
    "algorithm.advantage_method": "rloo",
    "algorithm.gamma": None,
    "algorithm.advantage_k": None,
    "algorithm.advantage_k_form": None,
    "algorithm.loss_fn": "cispo",
    "algorithm.literal_thresholds": None,
    "algorithm.dual_clip": 3.0,
    "algorithm.kl_form": None,
    "algorithm.kl_placement": None,
    "algorithm.proximal": "recomputed",
    "algorithm.truncated_importance_cap": None,
    "algorithm.importance_band": None,
    "algorithm.max_repeated_tokens": 30,
    "algorithm.max_ngram_size": None,
    "algorithm.max_filter_rate": None,
    "algorithm.aggregation_tokens": None,
    "model.lora_alpha": None,
    "model.lora_targets": None,
    "agent.context_policy": None,
    "agent.tool_output_tokens": None,
    "agent.context_tokens": None,
    "agent.keep_results": None,
    "learner.layout": "dense",
    "tracking.mlflow_uri": None,
    "evaluation.split": "train",
    "algorithm.truncated": "mask",
    "algorithm.aggregation": "rollout",
    "algorithm.normalise": "live",
    "optimizer.lr_schedule": "linear",
    "optimizer.warmup_steps": 3,
    "inference.max_queue": 5000,
    "inference.placement": "process",
    "schedule.keep_best": None,
    "rollout.rollout_max_concurrency": 95,
    "validation.pass_k_values": [1, 3],
    "algorithm.updates_per_step": 2,
    "warmstart.min_foothold": 0.5,
    "algorithm.clip_low_threshold": 0.5,
    "algorithm.clip_high_threshold": 2.0,
}
"""Other values than the default where adding to it does not do; None: one choice so far, or tied to another key."""


@pytest.mark.parametrize("key", list(known_keys()))
def test_changing_any_setting_changes_the_plan(key: str) -> None:
    before = resolve_values(MINIMAL, source="run.toml")
    default = before.get_info(key).value
    value = CHANGED.get(key, _another(default, before.get_info(key).expectation))
    if value is None:
        pytest.skip("one choice, or tied to another key and covered above")
    section, _, name = key.partition(".")
    values = {**MINIMAL, section: {**MINIMAL.get(section, {}), name: value}}
    after = resolve_values(values, source="run.toml")
    assert after.config != before.config
    assert after.get_info(key).value == (tuple(value) if isinstance(value, list) else value)
    assert {s.key for s in after.settings() if s.source == "run.toml"} == {key, "environment.name"}


def _another(default: Any, expectation: str) -> Any:
    if isinstance(default, bool):
        return not default
    if isinstance(default, int):
        return default + 1
    if isinstance(default, float):
        return default / 2 if default else 0.5
    return 7 if expectation.startswith("int") else "other"


def test_example_of_the_docstring_is_valid() -> None:
    config = RunConfig.model_validate({"environment": {"name": "examples/orders/environment.py:Orders"}})
    assert config.algorithm.group_size == 8
