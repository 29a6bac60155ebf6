"""Programs that try to get out: none does, the host is as it was, and the result is that of a program that ran.

Each attempt is made by a real program in each back end. A body that ends without an error has escaped, and says so.
"""

import os
import platform
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.attempts import KERNEL, NETWORK, PROCESSES, READING, SHARED_USER, WRITING, program
from sandbox.conftest import Host
from turnwright.sandbox import Sandbox, SandboxLimits, Workspace

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the attempts spell system calls in x86_64 numbers"),
]


def attempt(workspace: Workspace, body: str, facts: dict[str, str]) -> str:
    """Make one attempt and return what it said."""
    workspace.write("attempt.py", program(body))
    result = workspace.run(["python3", "-I", "attempt.py"], environment=facts)
    assert (result.ending, result.exit_code) == ("exited", 0), result.stderr
    assert result.stdout.startswith(("contained:", "ESCAPED")), result.stdout
    return result.stdout


def standing(process: int) -> tuple[bool, int, int, int, str]:
    """Return what another process could change: whether it is stopped, priority, scheduler, processors, limits."""
    stopped = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] not in "RSD"
    priority, processors = os.getpriority(os.PRIO_PROCESS, process), len(os.sched_getaffinity(process))
    limits = Path(f"/proc/{process}/limits").read_text()
    return stopped, priority, os.sched_getscheduler(process), processors, limits


@pytest.fixture
def open_to(sandbox: Sandbox, host: Host) -> Iterator[Workspace]:
    with sandbox.workspace(SandboxLimits(), readable=[host.readable]) as opened:
        yield opened


@pytest.mark.parametrize("name", sorted(NETWORK))
def test_no_socket_of_any_family_leads_out(open_to: Workspace, host: Host, name: str) -> None:
    assert "ESCAPED" not in attempt(open_to, NETWORK[name], host.facts)
    assert host.untouched()


@pytest.mark.parametrize("name", sorted(READING))
def test_what_the_host_keeps_cannot_be_read(open_to: Workspace, host: Host, name: str) -> None:
    assert "ESCAPED" not in attempt(open_to, READING[name], host.facts)
    assert host.untouched()


@pytest.mark.parametrize("name", sorted(WRITING))
def test_nothing_outside_the_workspace_is_changed(open_to: Workspace, host: Host, name: str) -> None:
    assert "ESCAPED" not in attempt(open_to, WRITING[name], host.facts)
    assert host.untouched()


@pytest.mark.parametrize("name", sorted(KERNEL))
def test_the_kernel_is_not_asked_for_more(open_to: Workspace, host: Host, name: str) -> None:
    assert "ESCAPED" not in attempt(open_to, KERNEL[name], host.facts)


@pytest.mark.parametrize("name", sorted(PROCESSES))
def test_processes_of_the_host_are_out_of_reach(
    open_to: Workspace, host: Host, bystander: Callable[[int], "subprocess.Popen[bytes]"], name: str
) -> None:
    user = int(open_to.run(["id", "-u"]).stdout)
    process = bystander(user)
    before = standing(process.pid)
    assert "ESCAPED" not in attempt(open_to, PROCESSES[name], {**host.facts, "HOST_PID": str(process.pid)})
    assert process.poll() is None
    assert standing(process.pid) == before


@pytest.mark.parametrize("name", sorted(SHARED_USER))
def test_modes_times_and_owners_outside_stay(open_to: Workspace, host: Host, name: str) -> None:
    assert "ESCAPED" not in attempt(open_to, SHARED_USER[name], host.facts)
    assert host.untouched()


def test_a_file_that_is_readable_can_be_read(open_to: Workspace, host: Host) -> None:
    read = f"need(pathlib.Path({str(host.readable)!r}).read_text() != 'readable')"
    assert attempt(open_to, read, {}) == "contained: Contained nothing came of it\n"


def test_calls_in_the_numbers_of_another_machine_end_the_program(workspace: Workspace) -> None:
    x32 = workspace.run(["python3", "-c", "import ctypes; ctypes.CDLL(None).syscall(0x40000000 | 39)"])
    assert x32.ending == "signalled"
    # mov eax, 20; int 0x80; ret: getpid as a 32-bit program asks for it.
    code = """
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes.fromhex("b814000000cd80c3"))
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
print("ESCAPED")
"""
    foreign = workspace.run(["python3", "-c", code])
    assert (foreign.ending, foreign.stdout) == ("signalled", "")
