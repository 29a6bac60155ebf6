"""Writes a new environment's folder and runs its own scripts, so that it works before anybody changes it."""

import subprocess
import sys
from pathlib import Path

from turnwright.core.errors import ConfigError
from turnwright.scaffold.answers import Answers
from turnwright.scaffold.code_answers import CodeAnswers
from turnwright.scaffold.render import render


def write_environment(answers: Answers | CodeAnswers, parent: Path) -> tuple[Path, ...]:
    """Write the folder ``answers.name`` below ``parent`` and return its files.

    Raises ConfigError when the folder is there already and not empty, so that nothing is ever overwritten.
    """
    folder = parent / answers.name
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is there already: choose another name, or remove it")
    for name, text in render(answers).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for script in ("make_tasks.py", "record.py"):
        if (folder / script).exists():
            _run(folder / script)
    return tuple(sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts))


def _run(script: Path) -> None:
    done = subprocess.run([sys.executable, "-B", script.name], cwd=script.parent, capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(f"{script} does not run: {done.stderr.strip().splitlines()[-1]}")
