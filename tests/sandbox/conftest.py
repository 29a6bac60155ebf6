"""The sandboxes that work on this machine, and a host with something to get at."""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from turnwright.sandbox import Sandbox, SandboxError, SandboxLimits, Workspace, open_sandbox

BACK_ENDS = ("bubblewrap", "landlock")


@pytest.fixture(scope="session", params=BACK_ENDS)
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    """Each back end in turn, skipped where it does not work."""
    try:
        return open_sandbox(request.param)
    except SandboxError as error:
        pytest.skip(f"{request.param}: {error}")


@pytest.fixture
def workspace(sandbox: Sandbox) -> Iterator[Workspace]:
    with sandbox.workspace(SandboxLimits()) as opened:
        yield opened


@dataclass(kw_only=True)
class Host:
    """What a program could reach, and how to see that it did not."""

    folder: Path
    """Everybody may write here; the file modes protect nothing."""
    shared: Path
    readable: Path
    listeners: dict[str, socket.socket]
    facts: dict[str, str] = field(default_factory=dict)

    def untouched(self) -> bool:
        """Whether files are what they were and nobody has called."""
        names = sorted(path.name for path in self.folder.iterdir())
        contents = (self.shared.read_text(), self.readable.read_text())
        modes = {oct(path.stat().st_mode & 0o777) for path in (self.shared, self.readable)}
        same_times = {path.stat().st_mtime for path in (self.shared, self.readable)} == {1000.0}
        files = (names, contents, modes, same_times)
        expected = (["datagrams", "fifo", "readable", "secret", "shared", "socket"], ("shared", "readable"), {"0o666"})
        return files == (*expected, True) and not any(map(_called, self.listeners.values()))


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """Files, sockets and variables of the host."""
    monkeypatch.setenv("TURNWRIGHT_TEST_SECRET", "the secret")
    # Not below tmp_path: that folder is closed to other users, and would hide what a sandbox lets through.
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="host-")))
        other = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="host-")))
        folder.chmod(0o777)
        for file in ("secret", "shared", "readable"):
            (folder / file).write_text("the secret" if file == "secret" else file)
            (folder / file).chmod(0o666)
            os.utime(folder / file, (1000, 1000))
        os.mkfifo(folder / "fifo", 0o666)
        (folder / "fifo").chmod(0o666)
        abstract = f"turnwright-{secrets.token_hex(8)}"
        listeners = {
            "TCP": _listener(stack, socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            "TCP6": _listener(stack, socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0)),
            "UDP": _listener(stack, socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            "UNIX": _listener(stack, socket.AF_UNIX, socket.SOCK_STREAM, str(folder / "socket")),
            "ABSTRACT": _listener(stack, socket.AF_UNIX, socket.SOCK_STREAM, f"\0{abstract}"),
            "UNIX_DATAGRAM": _listener(stack, socket.AF_UNIX, socket.SOCK_DGRAM, str(folder / "datagrams")),
        }
        for path in ("socket", "datagrams"):
            (folder / path).chmod(0o777)
        ports = {name: str(listeners[name].getsockname()[1]) for name in ("TCP", "TCP6", "UDP")}
        facts = {
            **ports,
            "UNIX": str(folder / "socket"),
            "UNIX_DATAGRAM": str(folder / "datagrams"),
            "ABSTRACT": abstract,
            "SECRET": str(folder / "secret"),
            "OTHER_FOLDER": other.name,
            "SHARED": str(folder / "shared"),
            "READABLE": str(folder / "readable"),
            "FIFO": str(folder / "fifo"),
            "HOME": str(Path.home()),
            "SOURCE": sys.modules["turnwright"].__file__ or "",
            "WORKING": str(Path(__file__).parents[2]),
            "DISK": _disk(),
            "PID": str(os.getpid()),
        }
        yield Host(
            folder=folder,
            shared=folder / "shared",
            readable=folder / "readable",
            listeners=listeners,
            facts={f"HOST_{name}": value for name, value in facts.items()},
        )


@pytest.fixture
def bystander() -> Iterator[Callable[[int], "subprocess.Popen[bytes]"]]:
    """Starts a process of the host for a user."""
    started: list[subprocess.Popen[bytes]] = []

    def start(user: int) -> "subprocess.Popen[bytes]":
        whom = user if user != os.geteuid() else None
        started.append(subprocess.Popen([b"/bin/sleep", b"600"], cwd="/", start_new_session=True, user=whom))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def processes_with(mark: str) -> list[int]:
    """Return the processes that carry a mark in their environment."""
    found: list[int] = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and mark.encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:  # gone meanwhile
            continue
    return found


def _listener(stack: ExitStack, family: int, kind: int, address: object) -> socket.socket:
    listener = stack.enter_context(socket.socket(family, kind))
    listener.bind(address)  # pyright: ignore[reportArgumentType]
    if kind == socket.SOCK_STREAM:
        listener.listen()
    listener.setblocking(False)
    return listener


def _called(listener: socket.socket) -> bool:
    try:
        if listener.type == socket.SOCK_STREAM:
            listener.accept()[0].close()
        else:
            listener.recv(64)
    except BlockingIOError:
        return False
    return True


def _disk() -> str:
    devices = sorted(path.name for path in Path("/sys/class/block").iterdir())
    return f"/dev/{devices[0]}" if devices else "/dev/sda"
