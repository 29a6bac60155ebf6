"""Generated pages say what the code says."""

import runpy

from architecture.test_imports import ROOT


def test_the_configuration_page_is_what_make_docs_writes() -> None:
    build = runpy.run_path(str(ROOT / "docs" / "build.py"))
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == build["configuration_page"](), "run `make docs`"


def test_the_tables_of_the_algorithms_page_are_what_make_docs_writes() -> None:
    build = runpy.run_path(str(ROOT / "docs" / "build.py"))
    page = (ROOT / "docs" / "algorithms.md").read_text(encoding="utf-8")
    assert page == build["algorithms_page"](), "run `make docs`"
