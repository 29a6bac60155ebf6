"""The filter, run by an interpreter of its instructions: what each call is answered on each machine."""

import errno
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.sandbox.base import SandboxError
from turnwright.sandbox.seccomp import (
    ALLOW,
    ERRNO,
    KILL,
    MACHINES,
    MODES,
    NEWEST_CALL,
    OWN_PROCESS_ONLY,
    REFUSED,
    SESSIONS,
    SIGNALS,
    TIMES,
    Filter,
    filter_program,
)

REFUSAL, ABSENT, PRETENDED = ERRNO | errno.EPERM, ERRNO | errno.ENOSYS, ERRNO
X86 = Filter(machine="x86_64")
ARM = Filter(machine="aarch64")


def answer(program: bytes, machine: str, number: int, *arguments: int) -> int:
    """Run the filter over one call, as the kernel does (``struct seccomp_data``)."""
    padded = (*arguments, *[0] * (6 - len(arguments)))
    call = struct.pack("<iIQ6Q", number, MACHINES[machine][0], 0, *padded)
    steps = list(struct.iter_unpack("<HBBI", program))
    at = register = 0
    while True:
        code, if_true, if_false, value = steps[at]
        at += 1
        if code == 0x20:
            register = struct.unpack_from("<I", call, value)[0]
        elif code == 0x54:
            register &= value
        elif code in (0x15, 0x35):
            at += if_true if (register == value if code == 0x15 else register >= value) else if_false
        elif code == 0x06:
            return value
        else:
            raise AssertionError(f"an instruction the filter has no use for: {code:#x}")


@pytest.mark.parametrize("wanted", [X86, ARM], ids=lambda wanted: wanted.machine)
def test_every_call_of_the_table_is_refused_and_the_rest_allowed(wanted: Filter) -> None:
    program, column = filter_program(wanted), MACHINES[wanted.machine][1]
    refused = {numbers[column] for numbers in REFUSED.values()} - {None}
    assert {answer(program, wanted.machine, number) for number in refused if number is not None} == {REFUSAL}
    special = {(53, 199)[column], (435, 435)[column]}
    others = set(range(NEWEST_CALL + 1)) - refused - special
    assert {answer(program, wanted.machine, number) for number in others} == {ALLOW}
    assert answer(program, wanted.machine, 435) == ABSENT
    assert answer(program, wanted.machine, NEWEST_CALL + 1) == ABSENT


def test_foreign_machines_are_ended() -> None:
    assert answer(filter_program(X86), "aarch64", 0) == KILL
    assert answer(filter_program(ARM), "x86_64", 0) == KILL
    assert answer(filter_program(X86), "x86_64", 0x40000000) == KILL
    with pytest.raises(SandboxError, match="'riscv64' are not known: expected x86_64 or aarch64"):
        filter_program(Filter(machine="riscv64"))


@pytest.mark.parametrize(
    ("domain", "kind", "expected"),
    [(1, 1, ALLOW), (1, 5, ALLOW), (1, 0o2000001, ALLOW), (1, 2, REFUSAL), (2, 1, REFUSAL), (16, 3, REFUSAL)],
)
def test_pairs_of_sockets_are_connected_ones_of_this_machine(domain: int, kind: int, expected: int) -> None:
    assert answer(filter_program(X86), "x86_64", 53, domain, kind) == expected


@given(st.integers(0, 2**32 - 1))
def test_a_clone_makes_no_namespace_whatever_else_it_asks(flags: int) -> None:
    new = flags & 0x7E020080
    assert answer(PLAIN, "x86_64", 56, flags) == (REFUSAL if new else ALLOW)


PLAIN = filter_program(X86)


@pytest.mark.parametrize("name", sorted(OWN_PROCESS_ONLY))
def test_limits_and_priorities_are_changed_of_the_caller_alone(name: str) -> None:
    (number, _), arguments = OWN_PROCESS_ONLY[name]
    assert answer(PLAIN, "x86_64", number, 0, 0, 7) == ALLOW
    for index in arguments:
        values = [0, 0, 7]
        values[index] = 4711
        assert answer(PLAIN, "x86_64", number, *values) == REFUSAL


def test_terminals_are_not_typed_into() -> None:
    assert {answer(PLAIN, "x86_64", 16, 0, control) for control in (0x5412, 0x541C, 0x40086602)} == {REFUSAL}
    assert answer(PLAIN, "x86_64", 16, 0, 0x5401) == ALLOW


@pytest.mark.parametrize(
    ("switch", "calls", "expected"),
    [
        ("keep_processes", SIGNALS, REFUSAL),
        ("keep_group", SESSIONS, PRETENDED),
        ("keep_modes", MODES, PRETENDED),
        ("keep_attributes", TIMES, PRETENDED),
    ],
)
def test_switches_add_their_calls(switch: str, calls: dict[str, tuple[int, int | None]], expected: int) -> None:
    switched = filter_program(replace(X86, **{switch: True}))
    for number, _ in calls.values():
        assert (answer(PLAIN, "x86_64", number), answer(switched, "x86_64", number)) == (ALLOW, expected)
