"""Code that goes for the verdict instead of the task: none of it passes a case that it would not pass honestly."""

import asyncio
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from turnwright.agents.builtin import LoopLimits
from turnwright.core.episode import Episode, EpisodeKey
from turnwright.core.outcome import Rewarded
from turnwright.core.task import Split, Task
from turnwright.environments import call, say
from turnwright.environments.scripts import numbered
from turnwright.environments.verifiable.environment import EditsFiles, RunsPython, Verdict, VerifiableEnvironment
from turnwright.rollout.demonstrations import ScriptedPolicy
from turnwright.rollout.runner import EpisodeLimits, run_episode
from turnwright.sandbox.base import SandboxError, SandboxLimits
from turnwright.sandbox.choose import open_sandbox

pytestmark = pytest.mark.sandbox

try:
    SANDBOX = open_sandbox()
except SandboxError as missing:
    pytest.skip(f"no sandbox works here: {missing}", allow_module_level=True)

HIDDEN = [
    {"expression": "add(20, 22)", "expected": "42"},
    {"expression": "add('a', 'b')", "expected": "'ab'"},
    {"expression": "[add(n, n) for n in range(3)]", "expected": "[0, 2, 4]"},
    {"expression": "add(1.5, [])", "raises": "TypeError"},
]
WRONG = "def add(a, b):\n    return None\n"
RIGHT = "def add(a, b):\n    return a + b\n"
TASK = Task(
    id="t",
    prompt="add",
    data={"files": {"solution.py": WRONG, "test_solution.py": "assert add(1, 2) == 3"}, "hidden": HIDDEN,
          "visible": [], "protected": ["test_solution.py"]},
)  # fmt: skip


class Adding(EditsFiles, RunsPython, VerifiableEnvironment):
    """Asks for a sum."""

    def tasks(self, split: Split) -> list[Task]:
        return [TASK]


ADDING = Adding(sandbox=SANDBOX, case_seconds=1.0)


def verdict(code: str, *, other: dict[str, str] | None = None, run: str = "") -> Verdict:
    """Grade what code leaves, with other files beside it and after a program was run in the episode's workspace."""
    environment = ADDING.for_episode()
    environment.open(TASK, 0)
    try:
        for path, text in {"solution.py": code, **(other or {})}.items():
            environment.write_file(path, text)
        if run:
            environment.run_python(run)
        return environment.grade(environment._cases("hidden"))
    finally:
        environment.close()


FORGED = '{"case": %d, "answer": ["value", %s]}'
ATTACKS = {
    "exit": "import os\nos._exit(0)",
    "sys.exit": "import sys\nsys.exit(0)",
    "raise SystemExit": "raise SystemExit(0)",
    "exit in the call": WRONG.replace("return None", "__import__('os')._exit(0)"),
    "atexit": "import atexit\natexit.register(print, 'passed')\n" + WRONG,
    "equal to all": "class Anything:\n    def __eq__(self, other): return True\n    __hash__ = None\n"
    "def add(a, b): return Anything()",
    "an int equal to all": "class Same(int):\n    def __eq__(self, other): return True\n"
    "    def __int__(self): return 0\n    def __hash__(self): return 0\ndef add(a, b): return Same(7)",
    "patched json": "import json\njson.dumps = lambda *a, **k: '[\"passed\"]'\n" + WRONG,
    "patched encoder": "import __main__\n__main__.encoded = lambda value: 'passed'\n" + WRONG,
    "patched judge": "import __main__\n__main__.say = lambda line: None\n__main__.asked = None\n" + WRONG,
    "patched builtins": "import builtins\nbuiltins.eval = builtins.isinstance = lambda *a: True\n" + WRONG,
    "frames": "import sys\nframe = sys._getframe()\nwhile frame:\n"
    "    frame.f_locals.update(expected=None, answer=['value', 1])\n    frame = frame.f_back\n" + WRONG,
    "report on standard output": "print('passed 4 of 4')\nimport os\nos.write(1, b'OK')\n" + WRONG,
    "report on the parent's output": "import os\nwith open(f'/proc/{os.getppid()}/fd/1', 'w') as out:\n"
    + "".join(f"    out.write('{FORGED % (at, 'true')}\\n')\n" for at in range(4)) + WRONG,
    "all descriptors": "import os\nfor file in range(3, 64):\n    try: os.write(file, b'[\"value\", true]')\n"
    "    except OSError: pass\nos._exit(0)",
    "end the driver": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n" + WRONG,
    "end everything": "import os, signal\nos.kill(-1, signal.SIGKILL)\n" + WRONG,
    "forge and end the driver": "import os, signal\ntry:\n    with open(f'/proc/{os.getppid()}/fd/1', 'w') as out:\n"
    + "".join(f"        out.write('{FORGED % (at, 'null')}\\n')\n" for at in range(4))
    + "except OSError: pass\nos.kill(os.getppid(), signal.SIGKILL)\n",
    "trace the driver": "import ctypes, os\nctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0)\n" + WRONG,
    "fork on": "import os\nif os.fork(): os._exit(0)\nif os.fork(): os._exit(0)\n" + WRONG,
    "look for the answers": "import gc\n"
    "found = [one for one in gc.get_objects() if isinstance(one, dict) and 'expected' in one]\n"
    "def add(a, b): return found[0]['expected'] if found else None",
    "read the command line": "import os, re\ntext = open(f'/proc/{os.getppid()}/cmdline').read()\n"
    "def add(a, b): return re.findall('42|abab', text)[0]",
    "modules of its own": WRONG,
}  # fmt: skip
OTHER_FILES = {
    "sitecustomize.py": "import builtins\nbuiltins.eval = lambda *a: 42\nimport os\nos._exit(0)",
    "usercustomize.py": "import os\nos._exit(0)",
    "conftest.py": "def pytest_runtest_makereport(item, call): return None",
    "json.py": "def dumps(value): return '[\"value\", 42]'\ndef loads(text): return ['value', 42]",
    "resource.py": "raise SystemExit(0)",
    "math.py": "def ceil(x): return 42",
    "test_solution.py": "assert True",
    "pyvenv.cfg": "home = /nowhere",
    "python3": "#!/bin/sh\necho ok",
    "report.xml": "<testsuite failures='0'/>",
    "solution/__init__.py": WRONG,
}


@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_passes(name: str):
    graded = verdict(ATTACKS[name], other=OTHER_FILES if name == "modules of its own" else None)
    assert graded.share == 0.0, [str(result) for result in graded.results]
    assert len(graded.results) == 4


def test_right_code_passes_whatever_lies_beside_it():
    beside = {path: text for path, text in OTHER_FILES.items() if path not in ("solution/__init__.py", "math.py")}
    assert verdict(RIGHT, other=beside).share == 1.0


def test_programs_run_before_grading_change_nothing():
    plant = (
        "import os, pathlib, subprocess, sys\n"
        "for name in ('.pth', 'a.pth', '__pycache__/solution.cpython-311.pyc'):\n"
        "    pathlib.Path(name).parent.mkdir(exist_ok=True)\n"
        "    pathlib.Path(name).write_bytes(b'import os; os._exit(0)')\n"
        "os.environ['PYTHONSTARTUP'] = 'x'\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)\n"
        "pathlib.Path('test_solution.py').unlink()\npathlib.Path('test_solution.py').symlink_to('/etc/passwd')\n"
    )
    assert verdict(RIGHT, run=plant).share == 1.0
    assert verdict(WRONG, run=plant).share == 0.0


def test_a_link_in_place_of_the_module_is_not_followed():
    graded = verdict(RIGHT, run="import os\nos.rename('solution.py', 'x.py')\nos.symlink('x.py', 'solution.py')")
    assert graded.share == 0.0


def test_what_takes_too_long_is_told_apart_and_ends_soon():
    assert verdict("def add(a, b):\n    while True: pass\n").components == {"passed": 0.0, "timeout": 1.0, "ended": 0.0}
    graded = verdict("import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\n"
                     "def add(a, b):\n    while a == 20: pass\n    return a + b\n")  # fmt: skip
    assert [result.passed for result in graded.results] == [False, True, True, True]


def test_what_breaks_one_case_does_not_break_the_next():
    graded = verdict("import os\ndef add(a, b):\n    if a == 20: os.abort()\n    if a == 'a': return [0] * 10**9\n"
                     "    return a + b\n")  # fmt: skip
    assert [result.ending for result in graded.results[:1]] == ["ended"]
    assert graded.results[3].passed
    assert not graded.results[1].passed


@pytest.mark.parametrize("code", ["def add(a, b):\n    return (", "import nothing_of_that_name", "", "\ufeff\x00"])
def test_code_that_does_not_run_is_wrong_and_no_failure(code: str):
    graded = verdict(code)
    assert graded.share == 0.0
    assert {result.ending for result in graded.results} == {"raised"}


def test_a_submission_without_measure_is_none():
    graded = verdict(RIGHT, run="import pathlib\nfor n in range(300): pathlib.Path(f'{n}.txt').write_text('x')")
    assert graded.share == 0.0


class Slow(Adding):
    """Says when its grading has begun."""

    def __init__(self) -> None:
        limits = SandboxLimits(wall_seconds=600.0, cpu_seconds=600.0)
        super().__init__(sandbox=SANDBOX, limits=limits, case_seconds=200.0)
        self.begun = threading.Event()

    def reward(self, episode: Episode) -> object:
        self.begun.set()
        return super().reward(episode)


async def play_in(environment: Adding, code: str, executor: ThreadPoolExecutor, number: int = 0) -> Episode:
    policy = ScriptedPolicy(numbered([call("write_file", path="solution.py", content=code), say("done")]))
    key = EpisodeKey(task_id=TASK.id, attempt=number)
    limits = EpisodeLimits(loop=LoopLimits(max_turns=4))
    return await run_episode(environment, TASK, key, policy, limits, seed=0, executor=executor)


def test_an_episode_cancelled_while_it_is_graded_ends_its_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    environment = Slow()

    async def cancel(executor: ThreadPoolExecutor) -> None:
        playing = asyncio.create_task(play_in(environment, "import time\ntime.sleep(500)", executor))
        assert await asyncio.to_thread(environment.begun.wait, 60)
        await asyncio.sleep(0.5)
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        assert playing.cancelled()

    begun = time.monotonic()
    with ThreadPoolExecutor() as executor:
        asyncio.run(cancel(executor))
    assert time.monotonic() - begun < 200
    assert list(tmp_path.iterdir()) == []


def test_episodes_side_by_side_are_judged_as_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    codes = [RIGHT, WRONG, ATTACKS["end everything"], RIGHT, "def add(a, b):\n    while True: pass\n", RIGHT]

    async def all_of_them(executor: ThreadPoolExecutor) -> list[Episode]:
        return await asyncio.gather(*(play_in(ADDING, code, executor, at) for at, code in enumerate(codes)))

    with ThreadPoolExecutor(max_workers=6) as executor:
        episodes = asyncio.run(all_of_them(executor))
    values = [episode.outcome.value for episode in episodes if isinstance(episode.outcome, Rewarded)]
    assert values == [1.0, 0.0, 0.0, 1.0, 0.0, 1.0]
    assert list(tmp_path.iterdir()) == []
