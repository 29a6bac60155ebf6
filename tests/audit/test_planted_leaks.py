"""The audit against planted leaks, and what its predictors and codings say by hand."""

import json
import os
import shutil
from pathlib import Path

import pytest

from audit.planted import PROMPT_LEAKS, TOOL_LEAKS, Planted, audit_claims, found, names
from turnwright.audit.codings import coding_of
from turnwright.audit.prediction import predicted_share
from turnwright.launch.check import check_environment

pytestmark = pytest.mark.audit
"""Each audits several environments."""


@pytest.mark.parametrize("planted", PROMPT_LEAKS, ids=names(PROMPT_LEAKS))
def test_leak_in_the_prompt_is_found(planted: Planted, tmp_path: Path) -> None:
    report = audit_claims(tmp_path, planted.body)
    assert found(report, planted), report.findings
    assert not report.passed


@pytest.mark.parametrize("planted", TOOL_LEAKS, ids=names(TOOL_LEAKS))
def test_leak_in_a_tool_is_found(planted: Planted, tmp_path: Path) -> None:
    report = audit_claims(tmp_path, planted.body)
    assert found(report, planted), report.findings


@pytest.mark.parametrize(
    ("shown", "coding"),
    [
        ("Denied ", "a copy"),
        ("deni", ""),
        ("DEINED", "reversed"),
        ("ZGVuaWVk", "base64"),
        ("64656e696564", "hexadecimal"),
        ("qravrq", "rot13"),
        ("", ""),
    ],
)
def test_codings(shown: str, coding: str) -> None:
    assert coding_of(shown, "denied") == coding


def test_value_predicts_by_the_other_tasks_only() -> None:
    assert predicted_share(["a", "a", "b", "b"], ["x", "x", "y", "y"]) == 1.0
    assert predicted_share(["a", "b", "c", "d"], ["x", "x", "y", "y"]) == 0.0
    # Of three "a", the two "x" predict each other; the "y" is outvoted.
    assert predicted_share(["a", "a", "a"], ["x", "x", "y"]) == pytest.approx(2 / 3)


@pytest.mark.skipif("SOP_BENCH_DIR" not in os.environ, reason="needs SOP_BENCH_DIR")
def test_proxy_label_of_a_public_domain_is_found() -> None:
    report = check_environment(f"sop:{os.environ['SOP_BENCH_DIR']}/traffic_spoofing_detection")
    assert [f.where for f in report.findings if f.code == "leak.proxy"] == ["prompt field 'risk_level'"]


@pytest.mark.skipif("SOP_BENCH_DIR" not in os.environ, reason="needs SOP_BENCH_DIR")
def test_tools_of_a_public_domain_that_verify_hidden_columns_are_found() -> None:
    report = check_environment(f"sop:{os.environ['SOP_BENCH_DIR']}/customer_service")
    places = {f.where for f in report.findings if f.code == "leak.tool"}
    assert {"tool 'getAuthenticationDetails'", "tool 'createSessionAndOpenTicket'"} <= places


@pytest.mark.skipif("SOP_BENCH_DIR" not in os.environ, reason="needs SOP_BENCH_DIR")
def test_label_leak_of_a_public_domain_is_found(tmp_path: Path) -> None:
    """Its tools compute, so that only the folder's columns are looked at here: each tool answers with nothing."""
    folder = shutil.copytree(Path(os.environ["SOP_BENCH_DIR"]) / "order_fulfillment", tmp_path / "order_fulfillment")
    tools = json.loads((folder / "toolspecs.json").read_text())
    metadata = json.loads((folder / "metadata.json").read_text())
    metadata["lookups"] = [{"tool": entry["toolSpec"]["name"]} for entry in tools]
    (folder / "metadata.json").write_text(json.dumps(metadata))
    report = check_environment(f"sop:{folder}")
    assert [f.where for f in report.findings if f.code == "leak.answer"] == [str(folder / "metadata.json")]
