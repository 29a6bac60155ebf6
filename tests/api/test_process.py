"""A verb in another process ends as the error it would be in this one."""

import pytest

from turnwright.api.process import failure, run_command
from turnwright.core.errors import ConfigError, TurnwrightError


@pytest.mark.slow
def test_what_a_verb_prints_is_returned() -> None:
    assert "turnwright" in run_command(["--help"])


@pytest.mark.slow
def test_refused_input_is_a_config_error_with_the_verbs_own_words() -> None:
    with pytest.raises(ConfigError, match=r"^nothing says what to evaluate 'tiny' on") as refused:
        run_command(["eval", "tiny", "--out", "nowhere"])
    assert "error: " not in str(refused.value)


def test_any_other_end_names_verb_code_and_output() -> None:
    error = failure("eval", 1, "Traceback: out of memory\n")
    assert not isinstance(error, ConfigError)
    assert isinstance(error, TurnwrightError)
    assert str(error) == "'turnwright eval' ended with exit code 1: Traceback: out of memory"
