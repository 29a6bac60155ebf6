import json
import socket
from pathlib import Path

import pytest

from cli.conftest import Command


def test_doctor_reports_versions_machine_and_ports(turnwright: Command) -> None:
    report = json.loads(turnwright("doctor", "--json").out)
    found = {check["name"]: check["value"] for check in report["checks"]}
    assert {"turnwright", "python", "torch", "cores", "memory", "disk here", "loopback port"} <= set(found)
    assert "GB" in found["memory"]


def test_doctor_says_which_sandbox_works_and_what_the_other_lacks(
    turnwright: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {check["name"]: check for check in json.loads(turnwright("doctor", "--json").out)["checks"]}
    assert "install bubblewrap" in found["sandbox bubblewrap"]["value"]
    works = found["sandbox landlock"]["value"] == "works"
    assert bool(found["sandbox bubblewrap"]["cure"]) is not works


def test_doctor_sees_a_port_in_use(turnwright: Command) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 5000))
        report = json.loads(turnwright("doctor", "--json").out)
    assert any(check["name"] == "port 5000" and "in use" in check["value"] for check in report["checks"])


def test_doctor_prints_one_line_per_check(turnwright: Command) -> None:
    plain, document = turnwright("doctor"), turnwright("doctor", "--json")
    assert plain.code == 0
    assert len(plain.out.splitlines()) == 1 + len(json.loads(document.out)["checks"])
    assert "\x1b" not in plain.out
