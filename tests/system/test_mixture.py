"""A mixture through the command line: trained, interrupted and resumed, evaluated, compared, reported."""

import json
from pathlib import Path

import pytest

from system.conftest import Turnwright
from turnwright.core.quota import Quota
from turnwright.rundir import RunReader

pytestmark = pytest.mark.runs
MIXTURE = """
[run]
output_dir = "{runs}"
seed = 3
deterministic = true

[environment.mixture.returns]
name = "returns_desk"
weight = 2.0
options = {{ train_tasks = 120, validation_tasks = 120, test_tasks = 120 }}

[environment.mixture.words]
name = "procedures"
options = {{ size = 2, max_lookups = 1, max_fields = 1 }}

[algorithm]
group_size = 2
global_batch_size = 3
updates_per_step = 2

[sampling]
sampling_max_tokens = 48
max_sequence_length = 896

[schedule]
max_steps = 3
max_epochs = 9
val_every = 3
save_every = 1

[inference]
kv_memory_mb = 64

[validation]
val_tasks = 4
val_temperature = 1.0

[evaluation]
scorer = "final_output"
tasks = 4
attempts = 2
resamples = 200
"""
UNEQUAL = ("timing_s/", "busy_s/", "cost/", "time", "training/peak_memory_mb")
"""What two equal runs may differ in."""
OF_THE_STREAM = (
    "rollout/concurrency",
    "rollout/ended/",
    "rollout/in_flight",
    "rollout/ready_groups",
    "rollout/wasted_",
)
"""What all rollouts of a run have in common, whatever their domain."""
PER_DOMAIN = ("rollout/", "val/", "analysis/", "score/")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(MIXTURE.format(runs=tmp_path / "runs"))
    return path


def comparable(run: Path) -> list[dict[str, float]]:
    return [
        {name: value for name, value in record.items() if not name.startswith(UNEQUAL)}
        for record in RunReader(run).metrics()
    ]


def weights(run: Path) -> bytes:
    return (RunReader(run).checkpoints()[-1].path / "model.safetensors").read_bytes()


def test_a_mixture_trains_with_the_metrics_of_its_domains_and_resumes_to_the_same_bits(
    turnwright: Turnwright, recipe: Path, tmp_path: Path
) -> None:
    whole = turnwright("train", recipe, "run.name=whole")
    assert (whole.code, whole.err) == (0, "")
    cut = turnwright.interrupt("train", recipe, "run.name=cut", after="step 1/3")
    assert cut.code == 130
    first, second = tmp_path / "runs" / "whole", tmp_path / "runs" / "cut"
    assert max(record["step"] for record in RunReader(second).metrics()) < 3
    resumed = turnwright("train", "--resume", second)
    assert (resumed.code, resumed.err) == (0, "")
    assert comparable(second) == comparable(first)
    assert weights(second) == weights(first)
    assert RunReader(second).batches() == RunReader(first).batches()

    # Every step has its quota, and words, with its two tasks, is in its pass 1 in step 3.
    quota, batches = Quota({"returns": 2.0, "words": 1.0}), RunReader(first).batches()
    dealt = [group for batch in batches for group in batch.groups]
    assert [len(batch.groups) for batch in batches] == [3, 3, 3]
    for step in range(4):
        done = [group.domain for group in dealt[: 3 * step]]
        assert done.count("words") == quota.count("words", 3 * step) == step
    assert [group.epoch for group in dealt if group.domain == "words"] == [0, 0, 1]
    assert len({(group.task, group.epoch) for group in dealt}) == 9

    reader = RunReader(first)
    for record in reader.metrics():
        if not record["step"]:
            continue
        episodes = list(reader.episodes(int(record["step"])))
        for domain in ("returns", "words"):
            own = [episode for episode in episodes if episode.task.domain == domain]
            rewards = [episode.outcome.value for episode in own if episode.outcome.kind != "failed"]
            assert record[f"{domain}/rollout/reward/mean"] == pytest.approx(sum(rewards) / len(rewards))
            assert record[f"{domain}/rollout/groups"] == len(own) / 2
    last = reader.metrics()[-1]
    every = {name for name in last if name.startswith(PER_DOMAIN) and not name.endswith("/valid_mean")}
    every = {name for name in every if "/advantage/" not in name and "/component/" not in name}
    every = {name for name in every if not name.startswith(OF_THE_STREAM)}
    for domain in ("returns", "words"):
        assert {f"{domain}/{name}" for name in every} <= last.keys()
        assert last[f"{domain}/val/reward/num_prompts"] == 2.0


def test_a_mixture_is_planned_evaluated_compared_reported_and_measured(
    turnwright: Turnwright, recipe: Path, tmp_path: Path
) -> None:
    plan = turnwright("train", recipe, "--dry-run", "environment.mixture.words.weight=1.0")
    assert plan.code == 0, plan.err
    assert "run.toml + override" in plan.out
    assert plan.out.splitlines()[-2:] == [
        "domain returns: 66.7% of the groups, 6 in all, 0.05 passes over 120 training tasks, at most 8 turns",
        "domain words: 33.3% of the groups, 3 in all, 1.50 passes over 2 training tasks, at most 5 turns",
    ]

    done = turnwright("train", recipe, "run.name=mixed", "schedule.max_steps=1", "run.deterministic=false")
    assert (done.code, done.err) == (0, "")
    lines, run = done.out.splitlines(), tmp_path / "runs" / "mixed"
    for line in lines[lines.index("next:") + 1 :]:
        followed = turnwright(*line.split()[1:])
        assert (followed.code, followed.err) == (0, ""), line
    base, tuned = (json.loads((run / "evaluations" / name / "result.json").read_text()) for name in ("base", "tuned"))
    assert base["environment"] == "mixture of returns and words"
    assert {domain: own["num_tasks"] for domain, own in tuned["domains"].items()} == {"returns": 2, "words": 2}
    values = [own["success"]["value"] for own in tuned["domains"].values()]
    assert tuned["macro_success"]["value"] == pytest.approx(sum(values) / 2)
    assert "Domains of the mixture" in (run / "report.html").read_text()
    shown = turnwright("runs", "show", run).out
    assert "words/val/score/success" in shown
    assert "returns/rollout/groups" in shown

    measured = turnwright("baseline", recipe, "--tasks", 4, "--json")
    assert measured.err == ""
    assert json.loads(measured.out)["domains"].keys() == {"returns", "words"}


def test_a_mixture_is_warm_started_by_the_oracles_of_its_members(
    turnwright: Turnwright, recipe: Path, tmp_path: Path
) -> None:
    settings = ("warmstart.steps=2", "warmstart.batch_size=4", "warmstart.warmup_steps=1")
    done = turnwright("warmstart", recipe, "--out", tmp_path / "start", *settings)
    assert (done.code, done.err) == (0, "")
    assert "foothold after 2 updates" in done.out
    assert (tmp_path / "start" / "model.safetensors").is_file()
    refused = turnwright(
        "warmstart", recipe, "--out", tmp_path / "clerk", *settings, "warmstart.demonstrator=hasty_clerk"
    )
    assert refused.code == 2
    assert "domain 'words': GeneratedProcedures has no scripted policy 'hasty_clerk'" in refused.err


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["environment.mixture.words.options.size=0"], "domain 'words' of the mixture has no training tasks"),
        (["environment.mixture.own.name=prompts"], "cannot work with environment 'prompts' (domain 'own')"),
        # 168 tokens of prompt and 5 turns of words fit 600; 441 and 8 turns of returns do not.
        (["sampling.max_sequence_length=600"], "(prompt of task 'returns/"),
    ],
)
def test_bad_mixtures_are_refused_before_anything_is_spent(
    turnwright: Turnwright, recipe: Path, tmp_path: Path, settings: list[str], said: str
) -> None:
    refused = turnwright("train", recipe, *settings)
    assert refused.code == 2
    assert said in refused.err
    assert not (tmp_path / "runs").exists()
