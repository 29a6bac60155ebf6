import json
import socket

from cli.conftest import Command


def test_doctor_reports_versions_machine_and_ports(turnwright: Command) -> None:
    report = json.loads(turnwright("doctor", "--json").out)
    found = {check["name"]: check["value"] for check in report["checks"]}
    assert {"turnwright", "python", "torch", "cores", "memory", "disk here", "loopback port"} <= set(found)
    assert "GB" in found["memory"]


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
