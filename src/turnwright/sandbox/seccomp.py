"""A seccomp filter as the kernel takes it (classic BPF): which system calls a contained program is refused.

The filter is about what namespaces, Landlock and an ordinary user's rights leave open: sockets, other processes,
new namespaces, and the parts of the kernel where its holes have been. What it does not name is allowed; calls newer
than its table do not exist.

Sources: Linux ``seccomp(2)``, ``include/uapi/linux/{filter,seccomp,audit}.h``, the system call tables of both machines.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from turnwright.sandbox.base import SandboxError

LOAD, JUMP_EQUAL, JUMP_AT_LEAST, MASK, RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
NUMBER, MACHINE = 0, 4
"""Where the call's number and machine are in ``struct seccomp_data``."""
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, ENOSYS, DONE = 1, 38, 0
X32_CALLS = 0x40000000
NEWEST_CALL = 469
MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""Audit number of the machine, and its column in the table."""

NEW_NAMESPACES = 0x7E020080
"""CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""
UNIX_FAMILY, STREAM, SEQUENCED = 1, 1, 5
REFUSED_CONTROLS = (0x5412, 0x541C, 0x40086602, 0x401C5820)
"""TIOCSTI and TIOCLINUX, which put characters into a terminal as if somebody typed them; FS_IOC_SETFLAGS and
FS_IOC_FSSETXATTR, which change attributes of a file that is open for reading."""

REFUSED = {
    # No socket of any family; a connected pair has no address and stays within the program.
    "socket": (41, 198),
    "connect": (42, 203),
    "accept": (43, 202),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept4": (288, 242),
    # Other processes.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    # Namespaces and mounts.
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # Parts of the kernel that few programs need and many exploits start from.
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "perf_event_open": (298, 241),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "memfd_secret": (447, 447),
    # Memory and messages that outlive a process, and files of others that are only watched.
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "fanotify_init": (300, 262),
    # The machine as a whole.
    "acct": (163, 89),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "init_module": (175, 105),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "vhangup": (153, 58),
}
"""Refused with EPERM: number on x86_64 and on aarch64."""

OWN_PROCESS_ONLY = {
    "prlimit64": ((302, 261), (0,)),
    "setpriority": ((141, 140), (0, 1)),
    "ioprio_set": ((251, 30), (1,)),
    "sched_setparam": ((142, 118), (0,)),
    "sched_setscheduler": ((144, 119), (0,)),
    "sched_setaffinity": ((203, 122), (0,)),
    "sched_setattr": ((314, 274), (0,)),
}
"""Allowed where these arguments are 0, which is the caller itself: another process of the user is not theirs."""

SIGNALS = {
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
}
SESSIONS = {"setsid": (112, 157), "setpgid": (109, 154)}
MODES = {
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
}
TIMES = {
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
}
OWNERS_AND_ATTRIBUTES = {
    "chown": (92, None),
    "lchown": (94, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "setxattrat": (463, 463),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
}
CLONE, CLONE3, SOCKETPAIR, IOCTL = (56, 220), (435, 435), (53, 199), (16, 29)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What a filter refuses beyond the table."""

    machine: str
    """As ``platform.machine()`` says: "x86_64" or "aarch64"."""
    keep_attributes: bool = False
    """The program sees files of the host: changes of owner and attributes are refused, those of times are answered as
    made and not made. Landlock governs neither, and a file that everybody may write is open to them."""
    keep_modes: bool = False
    """The program runs as the user whose files it sees: the same for changes of modes."""
    keep_group: bool = False
    """Nothing leaves the program's process group, so that one signal ends it all: a new session or group is answered as
    made and not made."""
    keep_processes: bool = False
    """The program could signal the user's other processes: no signal at all is sent."""


def filter_program(wanted: Filter) -> bytes:
    """Return the filter as an array of ``struct sock_filter``.

    Raises:
        SandboxError: the machine is none whose system calls are known here.
    """
    if wanted.machine not in MACHINES:
        raise SandboxError(
            f"the system calls of {wanted.machine!r} are not known: expected {' or '.join(MACHINES)}; "
            "unsafe_local = true runs programs without isolation"
        )
    audit, column = MACHINES[wanted.machine]
    program = [
        _load(MACHINE),
        *_unless_equal(audit, [_answer(KILL)]),
        _load(NUMBER),
        # Calls of the x32 ABI have other numbers for the same deeds.
        _instruction(JUMP_AT_LEAST, X32_CALLS, if_false=1),
        _answer(KILL),
        _instruction(JUMP_AT_LEAST, NEWEST_CALL + 1, if_false=1),
        _answer(ERRNO | ENOSYS),
        *_each(REFUSED.values(), column, ERRNO | EPERM),
    ]
    if wanted.keep_processes:
        program += _each(SIGNALS.values(), column, ERRNO | EPERM)
    if wanted.keep_group:
        program += _each(SESSIONS.values(), column, ERRNO | DONE)
    if wanted.keep_attributes:
        program += _each(OWNERS_AND_ATTRIBUTES.values(), column, ERRNO | EPERM)
        program += _each(TIMES.values(), column, ERRNO | DONE)
    if wanted.keep_modes:
        program += _each(MODES.values(), column, ERRNO | DONE)
    for numbers, arguments in OWN_PROCESS_ONLY.values():
        checks = [step for index in arguments for step in (_load(_argument(index)), *_unless_equal(0, [_refuse()]))]
        program += _if_call(numbers[column], [*checks, _answer(ALLOW)])
    # With clone3 the flags are behind a pointer; told that it does not exist, libraries use clone.
    program += _each([CLONE3], column, ERRNO | ENOSYS)
    namespaces = [_load(_argument(0)), _instruction(MASK, NEW_NAMESPACES), *_unless_equal(0, [_refuse()])]
    program += _if_call(CLONE[column], [*namespaces, _answer(ALLOW)])
    kinds = [_load(_argument(1)), _instruction(MASK, 0xF), *_if_equal(STREAM), *_if_equal(SEQUENCED), _refuse()]
    family = [_load(_argument(0)), *_unless_equal(UNIX_FAMILY, [_refuse()])]
    program += _if_call(SOCKETPAIR[column], [*family, *kinds])
    controls = [step for control in REFUSED_CONTROLS for step in _if_equal(control, _refuse())]
    program += _if_call(IOCTL[column], [_load(_argument(1)), *controls, _answer(ALLOW)])
    program.append(_answer(ALLOW))
    return b"".join(program)


def _each(calls: Iterable[tuple[int, int | None]], column: int, answer: int) -> list[bytes]:
    known = [number for number in (numbers[column] for numbers in calls) if number is not None]
    return [step for number in known for step in _if_call(number, [_answer(answer)])]


def _if_call(number: int, steps: list[bytes]) -> list[bytes]:
    """Take the steps for one call; they end with an answer, and the number is loaded again by no other."""
    return [_instruction(JUMP_EQUAL, number, if_false=len(steps)), *steps]


def _unless_equal(value: int, steps: list[bytes]) -> list[bytes]:
    return [_instruction(JUMP_EQUAL, value, if_true=len(steps)), *steps]


def _if_equal(value: int, answer: bytes | None = None) -> list[bytes]:
    return [_instruction(JUMP_EQUAL, value, if_false=1), answer or _answer(ALLOW)]


def _argument(index: int) -> int:
    """Return where the lower half of an argument is; both machines are little-endian."""
    return 16 + 8 * index


def _load(offset: int) -> bytes:
    return _instruction(LOAD, offset)


def _refuse() -> bytes:
    return _answer(ERRNO | EPERM)


def _answer(value: int) -> bytes:
    return _instruction(RETURN, value)


def _instruction(code: int, value: int, *, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)
