"""The same attempts where a user without rights runs Turnwright, and programs run as that user."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from sandbox.attempts import KERNEL, NETWORK, PROCESSES, READING, SHARED_USER, WRITING, program, program_of_all
from sandbox.conftest import BACK_ENDS, Host, processes_with
from sandbox.test_escapes import pytestmark as pytestmark

NOBODY = 65534
BOMBS = {
    "fork": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "chain": "import os, time\nif os.fork(): time.sleep(60)\nwhile True:\n    if os.fork(): os._exit(0)",
    "memory": "kept = []\nwhile True: kept.append(bytearray(1 << 22))",
    "disk": "import os\nos.mkdir('x', 0o300)\nwhile True: open(f'x/{os.urandom(4).hex()}', 'wb').write(bytes(65536))",
}
ENDINGS = {"fork": "wall_time", "chain": "wall_time", "memory": "memory", "disk": "disk"}


def interpreter() -> str:
    """Return a Python that a user without rights can start and that is new enough."""
    for path in (sys.executable, "/usr/bin/python3"):
        test = [*AS_NOBODY, path, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        if subprocess.run(test, capture_output=True).returncode == 0:
            return path
    pytest.skip("no Python 3.11 or later that other users can start")


@pytest.fixture
def readable_source() -> Iterator[Path]:
    """Copy the package to where every user may read: a checkout may lie where only its owner can."""
    package = Path(sys.modules["turnwright"].__file__ or "").parent
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        shutil.copytree(package, Path(folder) / "turnwright", ignore=shutil.ignore_patterns("__pycache__", "policies"))
        yield Path(folder)


AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "env")


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can become nobody")
@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_a_user_without_rights_is_contained_as_well(
    back_end: str, host: Host, child_environment: Mapping[str, str], readable_source: Path
) -> None:
    for path in (host.folder, *host.folder.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    kinds = (NETWORK, READING, WRITING, KERNEL, SHARED_USER)
    together = {f"kind{number}_{name}": body for number, kind in enumerate(kinds) for name, body in kind.items()}
    alone = {name: program(body).decode() for name, body in PROCESSES.items()}
    wanted = {
        "programs": {**alone, "together": program_of_all(together).decode()},
        "bombs": BOMBS,
        "facts": host.facts,
        "readable": [str(host.readable)],
    }
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(readable_source), "PYTHONDONTWRITEBYTECODE": "1"}
    script = Path(__file__).with_name("unprivileged.py")
    done = subprocess.run(
        [*AS_NOBODY, interpreter(), "-c", script.read_text(), back_end],
        input=json.dumps(wanted),
        env={**environment, "TURNWRIGHT_TEST_SECRET": "the secret"},
        cwd="/",
        capture_output=True,
        text=True,
    )
    if "SandboxError" in done.stderr and not done.stdout:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said.pop("user") == str(NOBODY)
    assert {name: said.pop(name) for name in BOMBS} == ENDINGS
    lines = dict(
        line.split(" ", 1) for line in said.pop("together").removeprefix("exited: ").splitlines() if " " in line
    )
    assert [name for name in together if not lines[name].startswith("contained:")] == []
    assert [name for name in alone if not said[name].startswith("exited: contained:")] == []
    assert host.untouched()
    assert processes_with("attempt.py") == []
