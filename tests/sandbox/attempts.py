"""What a program may try in order to get out: bodies of a function, which has escaped if it ends without an error.

Standard library only: the same attempts are made by a user without rights, whose interpreter has nothing else. What
they need to know about the host is in variables that the test sets.
"""

PREAMBLE = """
import ctypes, errno, mmap, os, pathlib, resource, signal, socket, struct, subprocess, sys, threading, time
HOST = {name: value for name, value in os.environ.items() if name.startswith("HOST_")}
libc = ctypes.CDLL(None, use_errno=True)

class Contained(Exception):
    pass

def call(number, *arguments, refused=(errno.EPERM, errno.EACCES, errno.ENOSYS)):
    answer = libc.syscall(number, *arguments)
    if answer < 0:
        code = ctypes.get_errno()
        if code not in refused:
            print("reached the kernel:", errno.errorcode[code], file=sys.stderr)
            return code
        raise Contained(errno.errorcode[code])
    return answer

def need(condition, said="nothing came of it"):
    if not condition:
        raise Contained(said)

def existing(name):
    # A private folder of the same name is nothing of the host's.
    need(os.path.exists(HOST[name]), "another folder")
    return HOST[name]

def judge(attempt):
    try:
        attempt()
    except (Contained, OSError, subprocess.SubprocessError, ImportError, RuntimeError, MemoryError) as error:
        print("contained:", type(error).__name__, error, flush=True)
    else:
        print("ESCAPED", flush=True)
"""
ONE_BY_ONE = """
for name, attempt in attempts.items():
    print(end=name + " ", flush=True)
    if os.fork() == 0:
        judge(attempt)
        os._exit(0)
    os.wait()
"""


def program(body: str) -> bytes:
    """Return the source of a program that makes the attempt and says how it went."""
    return (PREAMBLE + _function("attempt", body) + "judge(attempt)\n").encode()


def program_of_all(bodies: dict[str, str]) -> bytes:
    """Return the source of a program that makes all attempts, each in a process of its own: "NAME said" per line."""
    functions = "".join(_function(name, body) for name, body in bodies.items())
    listed = ", ".join(f"{name!r}: {name}" for name in bodies)
    return f"{PREAMBLE}{functions}attempts = {{{listed}}}{ONE_BY_ONE}".encode()


def _function(name: str, body: str) -> str:
    lines = (f"    {line}\n" if line else "\n" for line in body.strip("\n").splitlines())
    return f"\ndef {name}():\n" + "".join(lines)


NETWORK = {
    "tcp": "socket.create_connection(('127.0.0.1', int(HOST['HOST_TCP'])), 2).sendall(b'out')",
    "tcp_ipv6": "socket.create_connection(('::1', int(HOST['HOST_TCP6'])), 2).sendall(b'out')",
    "udp": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'out', ('127.0.0.1', int(HOST['HOST_UDP'])))",
    "unix_path": "socket.socket(socket.AF_UNIX).connect(HOST['HOST_UNIX'])",
    "unix_abstract": "socket.socket(socket.AF_UNIX).connect('\\0' + HOST['HOST_ABSTRACT'])",
    "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).bind((0, 0))",
    "packet": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))",
    "raw_icmp": "socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)",
    "vsock": "socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).connect((2, 1))",
    "bluetooth": "socket.socket(31, socket.SOCK_RAW, 1)",
    "crypto": "socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET, 0)",
    "name_lookup": "socket.getaddrinfo('turnwright.invalid', 80)",
    "listen": """
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen()
""",
    "datagram_pair": """
one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
one.sendto(b"out", HOST["HOST_UNIX_DATAGRAM"])
""",
    "reconnected_pair": """
one, other = socket.socketpair()
one.connect(HOST["HOST_UNIX"])
""",
    "curl": """
done = subprocess.run(["sh", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{HOST['HOST_TCP']}"], capture_output=True)
need(done.returncode == 0, done.stderr)
""",
    "inherited_descriptors": """
def alive(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
need(any(alive(number) for number in range(3, 4096)), "nothing but standard streams")
""",
}

READING = {
    "secret": "need('the secret' in pathlib.Path(HOST['HOST_SECRET']).read_text())",
    "passwords": "pathlib.Path('/etc/shadow').read_text()",
    "users": "pathlib.Path('/etc/passwd').read_text()",
    "home": "need(set(os.listdir(HOST['HOST_HOME'])) - set(pathlib.Path(sys.base_prefix).parts), 'nothing')",
    "source_tree": "pathlib.Path(HOST['HOST_SOURCE']).read_text()",
    "working_folder": "need(set(os.listdir(HOST['HOST_WORKING'])) - {'.venv'}, 'an empty folder')",
    "temporary_files": "need(HOST['HOST_OTHER_FOLDER'] in os.listdir('/tmp'), 'another /tmp')",
    "first_process": "need(b'TURNWRIGHT' in pathlib.Path('/proc/1/environ').read_bytes(), 'another process')",
    "environment_of_host": "need(b'=' in pathlib.Path(f\"/proc/{HOST['HOST_PID']}/environ\").read_bytes())",
    "memory_of_host": "pathlib.Path(f\"/proc/{HOST['HOST_PID']}/mem\").open('rb')",
    "root_of_host": "os.listdir(f\"/proc/{HOST['HOST_PID']}/root/etc\")",
    "descriptors_of_host": "os.listdir(f\"/proc/{HOST['HOST_PID']}/fd\")",
    "command_line_of_host": "pathlib.Path(f\"/proc/{HOST['HOST_PID']}/cmdline\").read_bytes()",
    "environments_of_all": """
found = [p for p in pathlib.Path("/proc").iterdir() if p.name.isdigit() and p.name != str(os.getpid())]
def environment(process):
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""
need(any(b"TURNWRIGHT_TEST_SECRET" in environment(process) for process in found), "no such variable")
""",
    "own_environment": "need('TURNWRIGHT_TEST_SECRET' in os.environ, sorted(os.environ))",
    "kernel_settings": "os.listdir('/sys/kernel')",
    "control_groups": "os.listdir('/sys/fs/cgroup')",
    "docker_socket": "need(os.stat('/var/run/docker.sock') and os.open('/var/run/docker.sock', os.O_RDWR))",
    "kernel_memory": "os.open('/dev/mem', os.O_RDONLY)",
    "disk_device": "os.open(HOST['HOST_DISK'], os.O_RDONLY)",
    "kernel_log": "call(103, 3, ctypes.create_string_buffer(4096), 4096)",
    "by_handle": """
handle = ctypes.create_string_buffer(struct.pack("<II", 128, 0) + bytes(128))
call(303, -100, b"/usr", handle, ctypes.byref(ctypes.c_int()), 0)
""",
    "fifo_of_host": "need(os.open(HOST['HOST_FIFO'], os.O_RDWR | os.O_NONBLOCK))",
}

WRITING = {
    "system": "pathlib.Path('/usr/turnwright-was-here').write_text('x')",
    "settings": "pathlib.Path('/etc/turnwright-was-here').write_text('x')",
    "root": "pathlib.Path('/turnwright-was-here').write_text('x')",
    "interpreter": "pathlib.Path(sys.prefix, 'turnwright-was-here').write_text('x')",
    "start_of_interpreter": "pathlib.Path(sys.prefix, 'lib/python3.11/site-packages/x.pth').write_text('import os')",
    "shared_file": "pathlib.Path(existing('HOST_SHARED')).write_text('changed')",
    "truncate": "os.truncate(HOST['HOST_SHARED'], 0)",
    "append": "os.write(os.open(HOST['HOST_SHARED'], os.O_WRONLY | os.O_APPEND), b'changed')",
    "remove": "os.unlink(HOST['HOST_SHARED'])",
    "rename": "os.rename(HOST['HOST_SHARED'], HOST['HOST_SHARED'] + '-renamed')",
    "take": "os.rename(HOST['HOST_SHARED'], 'mine')",
    "exchange": "call(316, -100, HOST['HOST_SHARED'].encode(), -100, b'attempt.py', 2, refused=range(1, 134))",
    "new_file": "pathlib.Path(existing('HOST_SHARED')).with_name('new').write_text('x')",
    "new_folder": "pathlib.Path(existing('HOST_SHARED')).with_name('folder').mkdir()",
    "readable_folder": "pathlib.Path(HOST['HOST_READABLE']).write_text('changed')",
    "hard_link": """
os.link(HOST["HOST_SHARED"], "mine")
pathlib.Path("mine").write_text("changed")
""",
    "hard_link_of_descriptor": """
file = os.open(HOST["HOST_READABLE"], os.O_RDONLY)
call(265, file, b"", -100, b"mine", 0x1000, refused=range(1, 134))
os.open("mine", os.O_WRONLY)
""",
    "descriptor_path": """
file = os.open(HOST["HOST_READABLE"], os.O_RDONLY)
os.open(f"/proc/self/fd/{file}", os.O_WRONLY)
""",
    "program_file": "os.open('/proc/self/exe', os.O_WRONLY)",
    "device": "os.mknod('null', 0o20666, os.makedev(1, 3))",
    "core_pattern": "pathlib.Path('/proc/sys/kernel/core_pattern').write_text('|/bin/sh')",
    "system_request": "os.open('/proc/sysrq-trigger', os.O_WRONLY)",
    "priority_of_memory": """
pathlib.Path("/proc/self/oom_score_adj").write_text("-1000")
""",
    "set_user_file": """
import shutil
shutil.copyfile("/bin/sh", "shell")
os.chmod("shell", 0o6755)
before = (os.getuid(), os.geteuid())
said = subprocess.run(["./shell", "-p", "-c", "id -u"], capture_output=True, text=True, check=True).stdout
need(int(said) != before[0], "the same user")
""",
    "set_user_program": """
done = subprocess.run(["su", "-c", "id -u"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
need(done.returncode == 0 and done.stdout.strip() == "0", done.stderr)
""",
    "become_root": "os.setresuid(0, 0, 0); os.open('/etc/shadow', os.O_RDONLY)",
    "terminal_input": """
import fcntl
for path in ("/dev/tty", "/dev/stdin"):
    try:
        fcntl.ioctl(os.open(path, os.O_RDWR), 0x5412, b"x")
        return
    except OSError:
        continue
call(16, 0, 0x5412, b"x")
""",
}

KERNEL = {
    "new_user_namespace": "call(272, 0x10000000)",
    "new_mount_namespace": "call(272, 0x00020000)",
    "new_network_namespace": "call(272, 0x40000000)",
    "clone_user_namespace": """
child = libc.syscall(56, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
if child == 0:
    os._exit(0)
need(child > 0, errno.errorcode[ctypes.get_errno()])
""",
    "clone3_user_namespace": """
arguments = struct.pack("<QQQQQQQQ", 0x10000000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
child = libc.syscall(435, arguments, len(arguments))
if child == 0:
    os._exit(0)
need(child > 0, errno.errorcode[ctypes.get_errno()])
""",
    "join_namespace": "call(308, os.open('/proc/self/ns/net', os.O_RDONLY), 0)",
    "mount": "call(165, b'none', os.getcwd().encode(), b'tmpfs', 0, 0)",
    "bind_mount": "call(165, b'/', os.getcwd().encode(), 0, 4096 | 16384, 0)",
    "unmount": "call(166, b'/usr', 2)",
    "new_mount_calls": "call(430, b'tmpfs', 0)",
    "open_tree": "call(428, -100, b'/', 1)",
    "chroot": "call(161, os.getcwd().encode())",
    "pivot_root": "call(155, b'.', b'.')",
    "io_uring": "call(425, 8, ctypes.create_string_buffer(120))",
    "keyring": "call(250, 0, -3, 1)",
    "new_key": "call(248, b'user', b'name', b'payload', 7, -3)",
    "bpf": "call(321, 0, ctypes.create_string_buffer(128), 128)",
    "perf": "call(298, ctypes.create_string_buffer(struct.pack('<II', 1, 128) + bytes(120)), 0, -1, -1, 0)",
    "userfaultfd": "call(323, 1)",
    "secret_memory": "call(447, 0)",
    "kernel_module": "call(175, b'', 0, b'')",
    "shared_segment": "call(29, 0, 4096, 0o1600)",
    "message_queue": "call(240, b'turnwright', 0o102, 0o600, None)",
    "watch_files": "call(294, 0)",
    "host_name": "call(170, b'turnwright-was-here', 19)",
    "unknown_call": "call(999)",
}

PROCESSES = {
    "signal": "os.kill(int(HOST['HOST_PID']), signal.SIGKILL)",
    "stop": "os.kill(int(HOST['HOST_PID']), signal.SIGSTOP)",
    "group": "os.killpg(int(HOST['HOST_PID']), signal.SIGKILL)",
    "by_descriptor": "signal.pidfd_send_signal(os.pidfd_open(int(HOST['HOST_PID'])), signal.SIGKILL)",
    "queue_signal": """
call(129, int(HOST["HOST_PID"]), 9, struct.pack("<iii", 9, 0, -1) + bytes(116), refused=(1, 3, 38))
""",
    "trace": "call(101, 16, int(HOST['HOST_PID']), 0, 0, refused=(1, 3))",
    "read_memory": """
buffer = ctypes.create_string_buffer(8)
place = struct.pack("<QQ", ctypes.addressof(buffer), 8)
call(310, int(HOST["HOST_PID"]), place, 1, place, 1, 0, refused=(1, 3))
""",
    "take_descriptor": "call(438, os.pidfd_open(int(HOST['HOST_PID'])), 0, 0)",
    "limit": "resource.prlimit(int(HOST['HOST_PID']), resource.RLIMIT_CPU, (0, 0))",
    "priority": "os.setpriority(os.PRIO_PROCESS, int(HOST['HOST_PID']), 19)",
    "priority_of_user": "os.setpriority(os.PRIO_USER, 0, 19)",
    "affinity": "os.sched_setaffinity(int(HOST['HOST_PID']), {0})",
    "scheduler": "os.sched_setscheduler(int(HOST['HOST_PID']), os.SCHED_IDLE, os.sched_param(0))",
    "supervisor": """
for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGINT, signal.SIGTERM):
    try:
        os.kill(os.getppid(), number)
    except PermissionError:
        pass
time.sleep(0.1)
need(os.getppid() == 0, "it is still there")
""",
    "trace_supervisor": "call(101, 16, os.getppid(), 0, 0)",
}
"""``HOST_PID`` is a process of the test's, owned by the program's own user."""

SHARED_USER = {
    "mode": """
os.chmod(HOST["HOST_SHARED"], 0o000)
need(os.stat(HOST["HOST_SHARED"]).st_mode & 0o777 == 0, "said to be done, and not done")
""",
    "mode_of_descriptor": """
os.fchmod(os.open(HOST["HOST_READABLE"], os.O_RDONLY), 0o000)
need(os.stat(HOST["HOST_READABLE"]).st_mode & 0o777 == 0, "said to be done, and not done")
""",
    "times": """
os.utime(HOST["HOST_SHARED"], (1, 1))
need(os.stat(HOST["HOST_SHARED"]).st_mtime == 1, "said to be done, and not done")
""",
    "attribute": "os.setxattr(HOST['HOST_SHARED'], 'user.turnwright', b'was here')",
    "owner": "os.chown(HOST['HOST_SHARED'], os.getuid(), os.getgid())",
}
"""What Landlock does not govern: changes to files of the program's own user."""
