"""What a run may go on with, and where the weights of a new one come from; no model is loaded here."""

import json
import logging
import os
from pathlib import Path

import pytest

from turnwright.config import ResolvedConfig, resolve, resolve_values
from turnwright.config.problems import known_keys
from turnwright.core.errors import ConfigError, RunDirectoryError
from turnwright.launch.resumption import (
    FIXED_IN_FREE,
    FREE,
    GROWING,
    OF_THE_DIRECTORY,
    find_parent,
    parent_of,
    plan_resumption,
    record_config,
    resolve_from,
)
from turnwright.rundir import RunLayout, RunReader, RunWriter, collect_manifest
from turnwright.rundir.checkpoints import promote

RECIPE = """
[environment]
name = "returns_desk"
options = {train_tasks = 120}
[run]
name = "first"
seed = 3
[algorithm]
group_size = 4
[schedule]
max_steps = 10
max_epochs = 2
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = tmp_path / "run.toml"
    file.write_text(RECIPE)
    return file


@pytest.fixture
def run(tmp_path: Path, recipe: Path) -> Path:
    return make_run(tmp_path / "runs" / "first", resolve(recipe))


def make_run(root: Path, config: ResolvedConfig, *steps: int, adapter: dict[str, float] | None = None) -> Path:
    with RunWriter.create(root, config=config, manifest=collect_manifest(name=root.name, seed=1)) as writer:
        for step in steps:
            with writer.checkpoint(step) as folder:
                name = "config.json" if adapter is None else "adapter_config.json"
                (folder / name).write_text(json.dumps(adapter or {}))
    return root


def changed(file: Path, old: str, new: str) -> Path:
    file.write_text(RECIPE.replace(old, new))
    return file


def test_a_run_goes_on_as_it_was(run: Path, recipe: Path) -> None:
    own = RunReader(run).config()
    for plan in (plan_resumption(run), plan_resumption(run, recipe), plan_resumption(run, None, ["run.seed=3"])):
        assert (plan.config, plan.changes, plan.describe()) == (own, (), ())


def test_a_run_that_is_written_is_refused_at_once(tmp_path: Path, recipe: Path) -> None:
    root = tmp_path / "runs" / "busy"
    manifest = collect_manifest(name="busy", seed=1)
    with (
        RunWriter.create(root, config=resolve(recipe), manifest=manifest),
        pytest.raises(RunDirectoryError, match=rf"is being written by process {os.getpid()}: wait until it ends"),
    ):
        plan_resumption(root)
    assert plan_resumption(root).changes == ()


def test_what_decides_what_is_learned_is_refused_in_a_table(run: Path, recipe: Path) -> None:
    overrides = ["algorithm.group_size=8", "environment.options.train_tasks=60", "tracking.mlflow=true"]
    with pytest.raises(ConfigError) as refused:
        plan_resumption(run, recipe, overrides)
    lines = str(refused.value).splitlines()
    assert lines[1:4] == [
        "  setting                         | run has | given",
        "  environment.options.train_tasks | 120     | 60",
        "  algorithm.group_size            | 4       | 8",
    ]
    assert "mlflow" not in str(refused.value)
    assert lines[-1].endswith(f"start a new run from its weights: turnwright train {recipe} ... --from {run}")


@pytest.mark.parametrize(
    "override",
    [
        "model.path=other", "model.dtype=bfloat16", "model.lora_rank=4", "algorithm.loss_fn=cispo", "run.seed=4",
        "run.deterministic=true", "sampling.temperature=0.5", "optimizer.learning_rate=1e-6", "rollout.fill_rounds=1",
        "environment.name=word_game", "gateway.sampling=request", "async_config.max_steps_off_policy=2",
        "validation.val_tasks=3", "evaluation.scorer=final_output", "agent.context_policy=drop_oldest",
    ],
)  # fmt: skip
def test_each_of_these_is_refused(run: Path, override: str) -> None:
    more = ["agent.context_tokens=99"] if "context_policy" in override else []
    more += ["learner.sampler_gap_warn=0.02"] if "bfloat16" in override else []
    with pytest.raises(ConfigError, match=override.partition("=")[0].replace(".", r"\.") + r" +\| "):
        plan_resumption(run, None, [override, *more])


def test_what_does_not_is_taken_and_its_history_kept(run: Path, recipe: Path) -> None:
    plan = plan_resumption(run, changed(recipe, "max_steps = 10", "max_steps = 20"), ["schedule.keep_last=3"])
    assert plan.describe() == (
        "changed: schedule.max_steps 10 -> 20 (run.toml)",
        "changed: schedule.keep_last none -> 3 (override)",
    )
    assert plan.config.config.schedule.max_steps == 20
    layout = RunLayout(run)
    record_config(layout, plan.config)
    written = json.loads(layout.config_resolved.read_text())
    assert written["schedule.max_steps"] == {
        "value": 20, "source": "run.toml, from attempt 2 on (was 10: run.toml)",
    }  # fmt: skip
    assert written["run.seed"] == {"value": 3, "source": "run.toml"}
    layout.log_folder(2).mkdir()
    again = plan_resumption(run, None, ["schedule.max_steps=30", "schedule.max_epochs=none"])
    assert again.config.get_info("schedule.max_steps").source == (
        "override, from attempt 3 on (was 20: run.toml, from attempt 2 on (was 10: run.toml))"
    )
    assert again.config.config.schedule.max_epochs is None


@pytest.mark.parametrize(
    "override",
    [
        "tracking.mlflow=true", "inference.kv_memory_mb=64", "learner.tokens_per_microbatch=512", "gateway.port=8080",
        "rollout.rollout_max_concurrency=4", "rollout.rollout_timeout=5.0", "rollout.tool_timeout=5.0",
        "run.watchdog_seconds=9.0",
        "rollout.rollout_max_retries=0", "schedule.val_every=1", "schedule.save_every=1", "evaluation.attempts=2",
    ],
)  # fmt: skip
def test_each_of_these_is_taken(run: Path, override: str) -> None:
    (change,) = plan_resumption(run, None, [override]).changes
    assert f"{change.key}={change.after}" == override


@pytest.mark.parametrize("override", ["schedule.max_steps=9", "schedule.max_epochs=1"])
def test_a_run_can_only_become_longer(run: Path, override: str) -> None:
    with pytest.raises(ConfigError, match=r"can only grow: to end a run earlier, stop it with Ctrl-C"):
        plan_resumption(run, None, [override])


def test_a_longer_run_says_what_its_learning_rate_does(tmp_path: Path, recipe: Path) -> None:
    settings = ["optimizer.lr_schedule=cosine", "run.deterministic=true"]
    run = make_run(tmp_path / "runs" / "falling", resolve(recipe, settings))
    notes = plan_resumption(run, None, ["schedule.max_steps=20", "learner.layout=dense"]).describe()[2:]
    assert notes == (
        "note: the learning rate (cosine) now falls to 0 at step 20",
        "note: from here on the bits are no longer those of an undisturbed run (run.deterministic)",
    )


def test_the_agents_address_may_change_but_not_the_agent(tmp_path: Path, recipe: Path) -> None:
    reached = ["agent.kind=http", "agent.target=http://127.0.0.1:1/rollout", 'agent.options={token="a"}']
    run = make_run(tmp_path / "runs" / "reached", resolve(recipe, reached))
    moved = plan_resumption(run, None, ["agent.target=http://127.0.0.1:2/rollout", "agent.options.token=b"])
    assert [change.key for change in moved.changes] == ["agent.target", "agent.options.token"]
    assert moved.config.config.agent.options == {"token": "b"}
    called = make_run(
        tmp_path / "runs" / "called", resolve(recipe, ["agent.kind=function", "agent.target=agent.py:play"])
    )
    with pytest.raises(ConfigError, match=r"agent\.target \| agent\.py:play \| agent\.py:other"):
        plan_resumption(called, None, ["agent.target=agent.py:other"])


def test_every_setting_that_is_named_exists() -> None:
    keys = set(known_keys())
    for name in (*FREE, *FIXED_IN_FREE, *GROWING, *OF_THE_DIRECTORY):
        assert name in keys or any(name.endswith(".") and key.startswith(name) for key in keys), name


def test_a_new_run_starts_from_the_promoted_checkpoint(tmp_path: Path, recipe: Path) -> None:
    run = make_run(tmp_path / "runs" / "first", resolve(recipe), 1, 2, 3)
    assert find_parent("first", run.parent).step == 3
    promote(RunLayout(run), [{"step": 2.0, "val/reward/mean": 0.5}])
    parent = find_parent("first", run.parent)
    assert (str(parent), parent.step) == (f"{run}@2", 2)
    assert find_parent(f"{run}@1", tmp_path).checkpoint == run.resolve() / "checkpoints" / "step_000001"

    resolved = resolve_from(parent, recipe, ["algorithm.group_size=8", "run.name=second"])
    assert resolved.config.model.path == str(parent.checkpoint)
    assert (resolved.config.algorithm.group_size, parent_of(resolved)) == (8, f"{run}@2")
    second = make_run(tmp_path / "runs" / "second", resolved)
    # The same file again: what --from decided is not taken back by it.
    assert plan_resumption(second, recipe, ["algorithm.group_size=8"]).changes == ()
    with pytest.raises(ConfigError, match=r"model\.path .* \| tiny"):
        plan_resumption(second, None, ["model.path=tiny"])
    own = resolve_from(parent, None, ["run.seed=9"]).config
    assert (own.run.name, own.run.seed, own.algorithm.group_size) == (None, 9, 4)


def test_a_parent_that_cannot_be_is_refused(tmp_path: Path, recipe: Path, caplog: pytest.LogCaptureFixture) -> None:
    empty = make_run(tmp_path / "runs" / "empty", resolve(recipe))
    with pytest.raises(RunDirectoryError, match=r"has saved no checkpoint: nothing to start from"):
        find_parent("empty", empty.parent)
    run = make_run(tmp_path / "runs" / "first", resolve(recipe), 1, 2)
    with pytest.raises(RunDirectoryError, match=r"has no checkpoint of step 7: there are those of 1, 2"):
        find_parent("first@7", run.parent)
    with pytest.raises(ConfigError, match=r"--from and model\.path both say"):
        resolve_from(find_parent("first", run.parent), recipe, ["model.path=tiny"])
    file = RunLayout(run).checkpoint(2) / "config.json"
    file.write_text("{ }")
    with pytest.raises(RunDirectoryError, match=r"config\.json' has 3 bytes, expected 2; copy 'step_000002' back"):
        find_parent("first", run.parent)
    (file.parent / "manifest.json").unlink()
    with caplog.at_level(logging.WARNING):
        assert find_parent("first", run.parent).step == 2
    assert "has no manifest.json: whether its files are whole is not known" in caplog.text


def test_adapters_go_on_being_trained_or_the_cure_is_named(tmp_path: Path, recipe: Path) -> None:
    config = resolve(recipe, ["model.lora_rank=4"])
    run = make_run(tmp_path / "runs" / "first", config, 1, adapter={"r": 4, "lora_alpha": 8.0})
    parent = find_parent("first", run.parent)
    assert resolve_from(parent, recipe, ["model.lora_rank=4"]).config.model.lora_rank == 4
    assert resolve_from(parent, None).config.model.lora_rank == 4
    with pytest.raises(
        ConfigError, match=r"lora_rank = 4, and model\.lora_rank = 0: set model\.lora_rank = 4 to go on"
    ):
        resolve_from(parent, recipe)
    with pytest.raises(ConfigError, match=r"lora_alpha = 8, and model\.lora_alpha = 4: .*\(turnwright merge "):
        resolve_from(parent, recipe, ["model.lora_rank=4", "model.lora_alpha=4.0"])


def test_the_parent_of_any_other_run_is_its_model() -> None:
    assert parent_of(resolve_values({"environment": {"name": "returns_desk"}}, source="test")) == "tiny"
