"""Real processes of the command line, small models, and a recipe that takes seconds."""

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from system import worlds
from system.models import save_qwen

WORLDS = Path(worlds.__file__)
RECIPE = """
[environment]
name = "{environment}"
options = {options}

[run]
output_dir = "{runs}"
seed = 3

[model]
path = "{model}"

[algorithm]
group_size = 4
global_batch_size = 2

[sampling]
sampling_max_tokens = 12
max_turns = 2

[optimizer]
learning_rate = 1e-3

[schedule]
max_steps = 2
val_every = 1
save_every = 1

[inference]
kv_memory_mb = 16

[validation]
val_tasks = 4
val_temperature = 1.0

[evaluation]
scorer = "final_output"
tasks = 4
attempts = 2
resamples = 200
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Turnwright:
    """The command line as another process, in a folder of the test."""

    folder: Path
    environment: Mapping[str, str]

    def __call__(self, *arguments: object) -> Ended:
        """Run a command to its end."""
        return self.python("-m", "turnwright.cli", *arguments)

    def python(self, *arguments: object) -> Ended:
        """Run Python to its end."""
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        return Ended(code=done.returncode, out=done.stdout, err=done.stderr)

    def start(self, *arguments: object) -> "subprocess.Popen[str]":
        """Begin a command and return while it runs; whoever does so waits for its end, or ends it."""
        return subprocess.Popen(
            [sys.executable, "-m", "turnwright.cli", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def interrupt(self, *arguments: object, after: str, number: signal.Signals = signal.SIGINT) -> Ended:
        """Run a command and press Ctrl-C, or send another signal, when it has printed a line with ``after``."""
        process = self.start(*arguments)
        assert process.stdout is not None
        heard = ""
        for line in process.stdout:
            heard += line
            if after in line:
                process.send_signal(number)
                break
        out, err = process.communicate(timeout=120)
        return Ended(code=process.returncode, out=heard + out, err=err)


@pytest.fixture
def turnwright(tmp_path: Path, child_environment: dict[str, str]) -> Turnwright:
    return Turnwright(folder=tmp_path, environment={**child_environment, "OMP_NUM_THREADS": "1"})


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_qwen(tmp_path_factory.mktemp("models") / "small")


WriteRecipe = Callable[..., Path]


@pytest.fixture
def write_recipe(tmp_path: Path, small_model: Path) -> WriteRecipe:
    def write(world: str = "Talk", *, model: Path = small_model, options: str = "{}") -> Path:
        path = tmp_path / "run.toml"
        path.write_text(
            RECIPE.format(environment=f"{WORLDS}:{world}", options=options, runs=tmp_path / "runs", model=model)
        )
        return path

    return write
