"""Which sandbox one gets, and what one is told where there is none."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from turnwright.sandbox import Sandbox, SandboxError, SandboxLimits, Workspace, open_sandbox
from turnwright.sandbox.choose import ISOLATING, probe
from turnwright.sandbox.scripted import ScriptedSandbox, exited


@pytest.mark.slow
def test_the_best_one_that_works_is_chosen(sandbox: Sandbox) -> None:
    assert open_sandbox(sandbox.name).name == sandbox.name
    assert open_sandbox().name in ("bubblewrap", sandbox.name)


def test_a_program_runs(sandbox: Sandbox) -> None:
    with sandbox.workspace(SandboxLimits()) as workspace:
        workspace.write("main.py", b"print(6 * 7)")
        result = workspace.run(["python3", "main.py"])
    assert (result.ending, result.stdout) == ("exited", "42\n")


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(SandboxError, match="no sandbox 'docker': expected auto, bubblewrap, landlock, unsafe_local"):
        open_sandbox("docker")


def nothing(reason: str) -> Callable[[], Sandbox]:
    def fail() -> Sandbox:
        raise SandboxError(reason)

    return fail


def test_without_any_the_error_says_what_each_lacks_and_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ISOLATING:
        monkeypatch.setitem(ISOLATING, name, nothing(f"{name} is not there"))  # pyright: ignore[reportArgumentType]
    with pytest.raises(SandboxError) as caught:
        open_sandbox()
    for words in ("bubblewrap is not there", "landlock is not there", "Install bubblewrap", "unsafe_local = true"):
        assert words in str(caught.value)


def test_one_that_does_not_work_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    broken, sound = ScriptedSandbox([SandboxError("no namespaces")]), ScriptedSandbox([exited("works True\n")])
    monkeypatch.setitem(ISOLATING, "bubblewrap", lambda: broken)  # pyright: ignore[reportArgumentType]
    monkeypatch.setitem(ISOLATING, "landlock", lambda: sound)  # pyright: ignore[reportArgumentType]
    assert open_sandbox() is sound


def test_one_that_answers_nonsense_does_not_work() -> None:
    with pytest.raises(SandboxError, match="should print a line did not: no such library"):
        probe(ScriptedSandbox([exited("", exit_code=127, stderr="no such library")]))


def test_no_bubblewrap_names_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="no program 'bwrap': install bubblewrap"):
        open_sandbox("bubblewrap")


@pytest.mark.slow
def test_unsafe_local_wants_to_be_asked_for_and_warns_each_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SandboxError, match="needs unsafe_local = true"):
        open_sandbox("unsafe_local")
    for name in ISOLATING:
        monkeypatch.setitem(ISOLATING, name, nothing("not there"))  # pyright: ignore[reportArgumentType]
    with caplog.at_level(logging.WARNING):
        for name in ("auto", "unsafe_local"):
            unsafe = open_sandbox(name, unsafe_local=True)
            assert unsafe.name == "unsafe_local"
    assert [record.message.split(" (")[0] for record in caplog.records] == ["programs run without isolation"] * 2
    with unsafe.workspace(SandboxLimits(wall_seconds=0.2)) as workspace:
        assert workspace.run(["sh", "-c", "sleep 60 & sleep 60"]).ending == "wall_time"


class FromElsewhere:
    """What a package would register."""

    name = "elsewhere"

    def workspace(self, limits: SandboxLimits, *, readable: object = ()) -> AbstractContextManager[Workspace]:
        return ScriptedSandbox([exited("works True\n")]).workspace(limits)


def test_a_package_brings_another_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    distribution = tmp_path / "elsewhere-1.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1\n")
    entry = f"[turnwright.sandboxes]\nelsewhere = {FromElsewhere.__module__}:FromElsewhere\n"
    (distribution / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert open_sandbox("elsewhere").name == "elsewhere"
