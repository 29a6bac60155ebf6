"""Job: a training run in a process of its own, followed through its run directory."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Literal, Self

from turnwright.api.process import failure, start_command
from turnwright.core.errors import TurnwrightError
from turnwright.environments.mixture import load_choice
from turnwright.rollout.batches import Batches
from turnwright.rundir.catalog import find_run, summarise
from turnwright.rundir.checkpoints import promoted
from turnwright.rundir.layout import RunLayout
from turnwright.rundir.reader import RunReader
from turnwright.tracking.console import ConsoleSink

JobStatus = Literal["InProgress", "Completed", "Failed", "Stopped"]
STATUS_OF: dict[str, JobStatus] = {
    "finished": "Completed",
    "failed": "Failed",
    "stopped": "Stopped",
    "interrupted": "Failed",
}
"""Status by state of a run that has ended; every other one is in progress."""


class Job:
    """One training run. It goes on when this process ends; ``Job.get(name)`` finds it again."""

    def __init__(self, path: Path, *, process: "subprocess.Popen[bytes] | None" = None) -> None:
        """Follow a run directory; ``MultiTurnRLTrainer.train`` and ``Job.get`` make jobs."""
        self.output_path = path
        """The run directory."""
        self._process = process
        self._exit_code: int | None = None
        self.job_status: JobStatus = "InProgress"
        """As of the last ``refresh``."""
        self.failure_reason = ""
        """For a job that failed: why."""
        self.refresh()

    @classmethod
    def get(cls, job_name: str, output_path: str | Path = "runs") -> Self:
        """Return the job of a run that exists; raises RunDirectoryError when there is none."""
        return cls(find_run(job_name, Path(output_path)))

    @classmethod
    def start(cls, path: Path, arguments: list[str]) -> Self:
        """Start ``turnwright train`` for the run directory ``path``."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with _console_file(path).open("wb") as output:
            process = start_command(["train", *arguments], output)
        return cls(path, process=process)

    @property
    def job_name(self) -> str:
        """Name of the run."""
        return self.output_path.name

    @property
    def checkpoint(self) -> Path:
        """The policy to deploy: the best validated one, without validation the newest.

        Raises:
            TurnwrightError: None was saved yet.
        """
        saved = RunReader(self.output_path).checkpoints()
        if not saved:
            raise TurnwrightError(f"job {self.job_name!r} has saved no policy yet: it is {self.job_status}")
        return promoted(RunLayout(self.output_path)) or saved[-1].path

    @property
    def base_model(self) -> str:
        """The policy it started from."""
        return RunReader(self.output_path).config().config.model.path

    def refresh(self) -> Self:
        """Look at the run directory again."""
        if self._process is not None:
            self._exit_code = self._process.poll()
        if not RunLayout(self.output_path).manifest.is_file():
            if self._exit_code is not None:
                self.job_status, self.failure_reason = "Failed", str(self._failure())
            return self
        state = summarise(self.output_path).state
        self.job_status = STATUS_OF.get(state, "InProgress")
        self.failure_reason = ""
        if state == "interrupted":
            self.failure_reason = f"its process is gone; 'turnwright train --resume {self.output_path}' goes on"
        elif self.job_status == "Failed" and (status := RunReader(self.output_path).status()):
            self.failure_reason = status.message
        return self

    def wait(self, poll: float = 1.0, *, show: bool = True) -> Self:
        """Wait until the job has ended, showing each step; Ctrl-C ends the waiting, not the job.

        Raises:
            ConfigError: The run refused its configuration.
            TurnwrightError: The run failed.
        """
        sink: ConsoleSink | None = None
        shown = -1.0
        while True:
            self.refresh()
            for record in self.get_training_metrics() if show else ():
                if record["step"] > shown:
                    sink = sink or ConsoleSink(num_steps=self._num_steps(), title=self.job_name)
                    shown = record["step"]
                    sink.metrics(int(shown), record)
            if self.job_status != "InProgress":
                break
            time.sleep(poll)
        if sink is not None:
            sink.close()
        if self._process is not None:
            self._exit_code = self._process.wait()
        if self.job_status == "Failed":
            raise self._failure()
        return self

    def stop(self) -> None:
        """Press Ctrl-C for the run: what was finished stays on disk, to be resumed. An ended job stays as it is."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            return
        reader = RunReader(self.output_path)
        if reader.is_running() and (status := reader.status()):
            os.kill(status.pid, signal.SIGINT)

    def get_training_metrics(self) -> list[dict[str, Any]]:
        """Return one object per step, with the names of metrics.jsonl."""
        if not RunLayout(self.output_path).manifest.is_file():
            return []
        return list(RunReader(self.output_path).metrics())

    def _num_steps(self) -> int:
        config = RunReader(self.output_path).config().config
        return Batches(config, tuple(load_choice(config.environment).tasks("train"))).total

    def _failure(self) -> TurnwrightError:
        file = _console_file(self.output_path)
        if self._process is None or not file.is_file():
            return TurnwrightError(f"job {self.job_name!r} failed: {self.failure_reason}")
        return failure("train", self._exit_code or 1, file.read_text(encoding="utf-8", errors="replace"))


def _console_file(run: Path) -> Path:
    """Return where a job's process prints; beside the run directory, which it makes only when its input is good."""
    return run.with_name(f"{run.name}.log")
