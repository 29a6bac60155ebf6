"""Any Hugging Face folder takes the same path, without a warm start."""

import json
from pathlib import Path

import pytest

from system.conftest import Turnwright, WriteRecipe
from system.models import save_llama
from turnwright.rundir import RunReader

pytestmark = pytest.mark.runs


def test_a_folder_of_another_family_trains_and_is_evaluated_by_the_same_commands(
    turnwright: Turnwright, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    model = save_llama(tmp_path / "llama")
    done = turnwright("train", write_recipe(model=model), "run.name=other")
    assert (done.code, done.err) == (0, "")
    run = tmp_path / "runs" / "other"
    for record in RunReader(run).metrics()[1:]:
        assert record["training/ratio/mean"] == pytest.approx(1.0, abs=1e-4)
        assert record["training/delivered_fraction"] == 1.0
    checkpoint = RunReader(run).checkpoints()[-1].path
    assert json.loads((checkpoint / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]
    evaluated = turnwright("eval", checkpoint, "--json")
    assert json.loads(evaluated.out)["step"] == 2
