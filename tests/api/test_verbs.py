"""Functions refuse what the command line refuses."""

import pytest

from turnwright import api
from turnwright.core.errors import ConfigError, RunDirectoryError


def test_training_starts_from_a_file_or_goes_on_with_a_run() -> None:
    with pytest.raises(ConfigError, match=r"a run\.toml with overrides, or a run as resume= or start_from="):
        api.train(overrides=["run.seed=2"])
    with pytest.raises(ConfigError, match=r"give one of them"):
        api.train(resume="first", start_from="first")
    for arguments in ({"resume": "absent"}, {"start_from": "absent@3"}):
        with pytest.raises(RunDirectoryError, match="no run 'absent'"):
            api.train(**arguments)
    with pytest.raises(ConfigError, match=r"no configuration file at .absent\.toml."):
        api.train("absent.toml")


def test_an_environment_is_played_by_class_with_options_and_overrides() -> None:
    episode = api.play("returns_desk", "oracle", options={"seed": 4}, split="train", task="train-5")
    assert episode.task.id == "train-5"
    with pytest.raises(ConfigError, match=r"unknown setting 'sampling\.turns'"):
        api.play("returns_desk", "oracle", override=["sampling.turns=5"])
