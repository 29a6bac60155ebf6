"""Where everything of a run lies. Every path of a run directory is spelled here and nowhere else.

runs/<name>/
  manifest.json            who, when, which versions; written once
  config.toml              as given           config.resolved.json   every value and its source
  status.json              phase, step, heartbeat; replaced atomically
  metrics.jsonl            one object per step    findings.jsonl     one object per finding
  tasks.jsonl              one object per task: its id and a hash of what it says
  batches.jsonl            one object per closed step: its groups, in order; a step counts from its line on
  tracking.json            how far the view that mirrors the run shows it
  gateway.json             while a gateway is open: its address and credentials, for its owner alone
  records/000001.jsonl             what happened to each trajectory of the gateway, in order; rotated by size
  groups/000012.jsonl              an open group: how it was dealt, then each attempt the moment it ends
  episodes/step_000012.jsonl       attempts of a closed step, in messages
  trajectories/step_000012.parquet the same attempts in tokens
  validation/step_000010.jsonl     validation episodes
  checkpoints/step_000040/         a policy to deploy, resume/ to continue from, manifest.json with the hashes of both
  checkpoints/promoted             a link to the one to deploy
  evaluations/<name>/              written by the evaluator, in its own process
  logs/attempt_1/*.log  logs/latest
  superseded/attempt_2/            what a resumed run took back, in the same folders
  writer.lock              held by the one process that writes
  report.html
"""

import re
from dataclasses import dataclass
from pathlib import Path

STEP_NAME = re.compile(r"step_(\d{6,})(?:\.\w+)?")


def step_name(step: int) -> str:
    """Return the name under which files of a step sort in order."""
    return f"step_{step:06d}"


def step_of(path: Path) -> int | None:
    """Return the step a file or folder belongs to; None when its name says no step."""
    match = STEP_NAME.fullmatch(path.name)
    return int(match[1]) if match else None


@dataclass(frozen=True, slots=True)
class RunLayout:
    """Paths of one run directory."""

    root: Path

    @property
    def manifest(self) -> Path:
        """Identity of the run."""
        return self.root / "manifest.json"

    @property
    def config_given(self) -> Path:
        """The run.toml as the user wrote it."""
        return self.root / "config.toml"

    @property
    def config_resolved(self) -> Path:
        """Every value and its source."""
        return self.root / "config.resolved.json"

    @property
    def status(self) -> Path:
        """What the run is doing."""
        return self.root / "status.json"

    @property
    def metrics(self) -> Path:
        """One object per step."""
        return self.root / "metrics.jsonl"

    @property
    def findings(self) -> Path:
        """One object per finding."""
        return self.root / "findings.jsonl"

    @property
    def batches(self) -> Path:
        """One object per closed step."""
        return self.root / "batches.jsonl"

    @property
    def tasks(self) -> Path:
        """Ids of the run's tasks, with a hash of what each says."""
        return self.root / "tasks.jsonl"

    @property
    def tracking(self) -> Path:
        """How far a view of the run shows it."""
        return self.root / "tracking.json"

    @property
    def gateway(self) -> Path:
        """Address and credentials of the gateway that the run has open."""
        return self.root / "gateway.json"

    @property
    def report(self) -> Path:
        """The report, one self-contained file."""
        return self.root / "report.html"

    @property
    def lock(self) -> Path:
        """File that the writing process keeps locked."""
        return self.root / "writer.lock"

    @property
    def records(self) -> Path:
        """Folder of the gateway's write-ahead log."""
        return self.root / "records"

    @property
    def groups(self) -> Path:
        """Folder of the open groups."""
        return self.root / "groups"

    @property
    def checkpoints(self) -> Path:
        """Folder of all checkpoints."""
        return self.root / "checkpoints"

    @property
    def validations(self) -> Path:
        """Folder of all validation episodes."""
        return self.root / "validation"

    @property
    def promoted(self) -> Path:
        """Link to the checkpoint to deploy."""
        return self.checkpoints / "promoted"

    @property
    def superseded(self) -> Path:
        """Folder of what resumed runs took back."""
        return self.root / "superseded"

    @property
    def logs(self) -> Path:
        """Folder of all logs."""
        return self.root / "logs"

    @property
    def step_folders(self) -> tuple[Path, ...]:
        """Folders whose entries each belong to one step."""
        return (self.root / "episodes", self.root / "trajectories", self.validations, self.checkpoints)

    def group(self, number: int) -> Path:
        """One open group and its ended attempts."""
        return self.groups / f"{number:06d}.jsonl"

    def episodes(self, step: int) -> Path:
        """Attempts of a closed step, in messages."""
        return self.root / "episodes" / f"{step_name(step)}.jsonl"

    def trajectories(self, step: int) -> Path:
        """Attempts of a closed step, in tokens."""
        return self.root / "trajectories" / f"{step_name(step)}.parquet"

    def validation(self, step: int) -> Path:
        """Validation episodes after a step."""
        return self.validations / f"{step_name(step)}.jsonl"

    def checkpoint(self, step: int) -> Path:
        """Policy that a step published."""
        return self.checkpoints / step_name(step)

    def resume_state(self, step: int) -> Path:
        """Optimizer state and counters beside the policy of a step."""
        return self.checkpoint(step) / "resume"

    def evaluation(self, name: str) -> Path:
        """Folder of one evaluation."""
        return self.root / "evaluations" / name

    def log_folder(self, launch: int) -> Path:
        """Logs of the n-th process that wrote this run, from 1."""
        return self.logs / f"attempt_{launch}"

    def superseded_by(self, launch: int) -> Path:
        """Folder of what the n-th process took back when it resumed."""
        return self.superseded / f"attempt_{launch}"
