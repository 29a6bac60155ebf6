"""Environments that break, hang or say too much: the audit ends with findings, never with a traceback."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from audit.planted import audit_claims
from turnwright.audit import patience
from turnwright.audit.check import check
from turnwright.audit.derived import decoded, interval_share, position_share
from turnwright.audit.own_source import clock_uses
from turnwright.audit.report import CheckReport
from turnwright.core.errors import EnvironmentLoadError


def codes(report: CheckReport) -> set[str]:
    return {finding.code for finding in report.findings}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("def tasks(self, split):\n    raise OSError('no disk')", "tasks.unreadable"),
        ("def tasks(self, split):\n    return ['a', 'b']", "tasks.unreadable"),
        ("def tasks(self, split):\n    yield from super().tasks(split) if split == 'train' else ()", "split.empty"),
        ("def oracle(self, task):\n    raise KeyError('x')", "oracle.fails"),
        ("def tools(self):\n    raise ValueError('x')", ""),
        ("def opening(self):\n    raise ValueError('x')", "oracle.fails"),
        ("def close(self):\n    raise OSError('x')", ""),
    ],
)
@pytest.mark.audit
def test_what_breaks_is_a_finding(body: str, code: str, tmp_path: Path) -> None:
    if body.startswith("def tools"):
        with pytest.raises(EnvironmentLoadError, match="ValueError"):
            audit_claims(tmp_path, body, num_tasks=4)
        return
    report = audit_claims(tmp_path, body, num_tasks=4)
    assert code in codes(report) | {""}


@pytest.mark.audit
def test_function_that_hangs_is_interrupted_and_ends_the_audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LIMIT_SECONDS", 1.0)
    body = '@tool\ndef get_claim(self, claim: str) -> dict:\n    """Return a claim."""\n    time.sleep(600)'
    report = audit_claims(tmp_path, body, num_tasks=6)
    (hanging,) = [finding for finding in report.findings if finding.code == "environment.hangs"]
    assert "claims.py:" in hanging.evidence
    assert not report.passed


@pytest.mark.audit
def test_huge_prompts_and_many_tasks_are_no_trouble(tmp_path: Path) -> None:
    body = (
        "def tasks(self, split):\n"
        "    return (self.task_of(split, index) for index in range(100))\n"
        "def more_prompt(self, decision, draw):\n    return '\\nlog: ' + 'x y ' * 5000"
    )
    report = audit_claims(tmp_path, body, num_tasks=12)
    assert report.oracle.of == 12
    assert report.facts.tasks == {"train": 100, "validation": 100, "test": 100}


@pytest.mark.audit
def test_directory_and_variables_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    body = (
        "def open(self, task, seed):\n    super().open(task, seed)\n    os.chdir('/')\n    os.environ['CLAIMS'] = '1'"
    )
    report = audit_claims(tmp_path, body, num_tasks=4)
    places = {finding.where for finding in report.findings}
    assert {"working directory /", "environment variable CLAIMS"} <= places
    assert (Path.cwd(), os.environ.get("CLAIMS")) == (tmp_path, None)


@pytest.mark.audit
def test_network_is_refused_unless_it_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "asking.py"
    path.write_text(
        "import socket\n"
        "from turnwright import Environment, Task, call, say, tool\n"
        "class Asking(Environment):\n"
        "    instructions = 'Ask, and say done.'\n"
        "    def tasks(self, split):\n"
        "        return [Task(id=f'{split}{n}', prompt=f'{split} {n}', split=split) for n in range(3)]\n"
        "    @tool\n"
        "    def ask(self) -> str:\n"
        "        '''Ask a service.'''\n"
        "        with socket.socket() as wire:\n"
        "            return str(wire.connect_ex(('127.0.0.1', 9)))\n"
        "    def reward(self, episode):\n"
        "        return float(len(episode.turns) == 2)\n"
        "    def oracle(self, task):\n"
        "        yield call('ask')\n"
        "        yield say('done')\n"
    )
    refused = asyncio.run(check(f"{path}:Asking", processes=0))
    assert refused.oracle.solved == 0
    assert any("lets no environment reach the network" in finding.evidence for finding in refused.findings)
    allowed = asyncio.run(check(f"{path}:Asking", processes=0, allow_network=True))
    assert allowed.oracle.solved == allowed.oracle.of
    assert [f.severity for f in allowed.findings if f.code == "hermetic.network"] == ["warning"]


def test_ranges_of_a_number() -> None:
    labels = ["a"] * 10 + ["b"] * 10
    assert interval_share([str(n) for n in range(20)], labels) == 1.0
    assert interval_share([str(n) for n in range(20)], ["a", "b"] * 10) == 0.0
    assert interval_share(["x"] * 20, labels) == 0.0
    # One value on the wrong side.
    assert interval_share([str(n) for n in range(20)], ["a"] * 9 + ["b", "a"] + ["b"] * 9) == pytest.approx(19 / 20)


def test_place_in_a_list() -> None:
    assert position_share(["a, b", "b, a", "a, c"], ["a", "b", "a"]) == 1.0
    assert position_share(["a, b", "a, b", "a, b"], ["a", "b", "a"]) == 0.0


def test_decoded_text() -> None:
    assert decoded("eyJjIjogInJ5ZSJ9") == '{"c": "rye"}'
    assert decoded("726566757365") == "refuse"
    assert decoded("C4711") is None


def test_clock_at_import_is_found_in_the_source(tmp_path: Path) -> None:
    source = (
        "import time\nfrom datetime import datetime\n"
        "DAY = time.strftime('%d')\n"
        "def tell(now=datetime.now()):\n    return time.strftime('%d', now), datetime.now(), time.localtime()\n"
    )
    path = tmp_path / "clock.py"
    path.write_text(source)
    assert [use.where.rpartition(":")[2] for use in clock_uses([str(path)])] == ["3", "4", "5"]


def test_timer_is_nobodys_afterwards() -> None:
    if sys.platform == "win32":
        pytest.skip("there is no such timer")
    import signal

    with patience.patience(test_timer_is_nobodys_afterwards.__code__):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
