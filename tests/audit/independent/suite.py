"""The independent suite: environments of other people's making, each with one defect or none, and what the audit says.

    labels.json: file -> {"defect": words or null, "codes": [...], "where": [...], "num_tasks"?: N}

A defect counts as found when an error or warning has one of ``codes`` (``*`` stands for anything) and names one of
``where`` (an empty list: anything will do). On an environment without a defect every error or warning is a false alarm.
Each environment is audited in a process of its own, because some of them leave things behind. By hand::

    python tests/audit/independent/suite.py                  # the whole suite
    python tests/audit/independent/suite.py hotel_rooms.py   # some of it
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

FOLDER = Path(__file__).parent
ENVIRONMENTS = FOLDER / "environments"
CLASS = re.compile(r"^class (\w+)\([\w, ]*(?:Environment|Questions)\):$", re.MULTILINE)
NUM_TASKS = 60
TIMEOUT_SECONDS = 600
AUDIT = """
import json, sys
from dataclasses import asdict
from turnwright.launch.check import check_environment
report = check_environment(sys.argv[1], num_tasks=int(sys.argv[2]))
print("FINDINGS" + json.dumps([asdict(finding) for finding in report.findings]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What an environment's maker knows about it."""

    file: str
    defect: str | None
    codes: tuple[str, ...]
    where: tuple[str, ...]
    num_tasks: int = NUM_TASKS
    suite: Path = FOLDER
    """Folder of the suite it belongs to."""
    timeout_seconds: float = TIMEOUT_SECONDS
    """Longest time the audit may take; more counts as breaking."""

    def is_met_by(self, finding: dict[str, str]) -> bool:
        """Return whether a finding has one of the codes and names one of the places."""
        text = " ".join((finding["where"], finding["evidence"]))
        named = not self.where or any(place in text for place in self.where)
        return named and any(fnmatchcase(finding["code"], code) for code in self.codes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the audit said about one environment."""

    label: Label
    alarms: tuple[dict[str, str], ...]
    """Findings of level error or warning."""
    crash: str = ""
    """End of what the audit printed when it broke; empty when it did not."""

    @property
    def found(self) -> bool:
        """Whether the defect was found."""
        return any(map(self.label.is_met_by, self.alarms))

    def __str__(self) -> str:
        """Return a block of text: the label, then one line per alarm."""
        said = [
            f"    {one['severity']} {one['code']} at {one['where']}: {one['evidence'][:150]}" for one in self.alarms
        ]
        return "\n".join([f"{self.label.file}: {self.label.defect or 'no defect'}", *said, *self.crash.splitlines()])


def read_labels(suite: Path = FOLDER) -> list[Label]:
    """Return the labels of a suite by file."""
    labels = json.loads((suite / "labels.json").read_text(encoding="utf-8"))
    return [
        Label(
            file=file,
            defect=label["defect"],
            codes=tuple(label["codes"]),
            where=tuple(label["where"]),
            num_tasks=label.get("num_tasks", NUM_TASKS),
            suite=suite,
        )
        for file, label in labels.items()
    ]


def name_of(file: str, suite: Path = FOLDER) -> str:
    """Return the name under which an environment of a suite is loaded."""
    path = suite / "environments" / file
    (class_name,) = CLASS.findall(path.read_text(encoding="utf-8"))
    return f"{path}:{class_name}"


def audit(label: Label) -> Verdict:
    """Audit one environment in a fresh process, with a folder for its temporary files."""
    with tempfile.TemporaryDirectory() as folder:
        name = name_of(label.file, label.suite)
        command = ["env", f"TMPDIR={folder}", sys.executable, "-c", AUDIT, name, str(label.num_tasks)]
        try:
            ended = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=label.timeout_seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return Verdict(label=label, alarms=(), crash=f"the audit takes more than {label.timeout_seconds} s")
    lines = [line for line in ended.stdout.splitlines() if line.startswith("FINDINGS")]
    if not lines:
        return Verdict(label=label, alarms=(), crash=f"the audit broke: {ended.stderr[-600:]}")
    findings = json.loads(lines[-1].removeprefix("FINDINGS"))
    return Verdict(label=label, alarms=tuple(one for one in findings if one["severity"] in ("error", "warning")))


def audit_all(labels: Iterable[Label]) -> list[Verdict]:
    """Audit several environments, two at a time."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(audit, labels))


if __name__ == "__main__":
    chosen = [label for label in read_labels() if label.file in sys.argv[1:] or not sys.argv[1:]]
    verdicts = audit_all(chosen)
    missed = [verdict for verdict in verdicts if verdict.label.defect and not verdict.found]
    false = [verdict for verdict in verdicts if not verdict.label.defect and (verdict.alarms or verdict.crash)]
    planted = sum(label.defect is not None for label in chosen)
    for verdict in (*missed, *false):
        print("MISSED" if verdict in missed else "FALSE ALARM", verdict)  # noqa: T201
    print(f"found {planted - len(missed)} of {planted}; false alarms on {len(false)} of {len(chosen) - planted}")  # noqa: T201
