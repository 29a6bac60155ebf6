"""The table of docs/agents/context.md is what its program prints."""

import importlib.util
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "agents" / "context.md"


def test_the_page_shows_what_the_policies_cost() -> None:
    spec = importlib.util.spec_from_file_location("context_policies", PAGE.parent / "context_policies.py")
    assert spec is not None
    assert spec.loader is not None
    study = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(study)
    assert "\n".join(study.table()) in PAGE.read_text(encoding="utf-8")
