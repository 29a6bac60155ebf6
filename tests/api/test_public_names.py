"""The names that ``import turnwright`` offers, and what asking for them costs."""

import subprocess
import sys

import pytest

import turnwright


def test_every_public_name_resolves_and_is_listed() -> None:
    assert all(getattr(turnwright, name) is not None for name in turnwright.__all__)
    assert set(turnwright.__all__) <= set(dir(turnwright))
    assert turnwright.__all__ == sorted(turnwright.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'turnwright' has no attribute 'Trainer'"):
        turnwright.Trainer  # noqa: B018 - the access is what is tested


@pytest.mark.slow
def test_the_python_surface_checks_and_plays_without_torch(child_environment: dict[str, str]) -> None:
    script = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from turnwright import MultiTurnRLTrainer, api\n"
        "print(api.play('returns_desk', model='oracle').score.success, api.check('returns_desk', tasks=20).passed)"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=child_environment, capture_output=True, text=True, check=True)
    assert done.stdout == "True True\n"
