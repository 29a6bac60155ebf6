"""The small trusted process beside each contained program: starts it, watches what it takes, ends all it started.

    python -I -S supervisor SETTINGS LIFELINE STATUS           three inherited descriptors

    SETTINGS   a marshalled dict: what to run, as whom, within which limits (``supervised.Settings`` writes it)
    LIFELINE   nothing is ever written to it; its end means that the host closed the run, or is dead
    STATUS     one line is written to it: "ENDING CODE SECONDS", or "broken REASON"

A file of its own that imports nothing of Turnwright: inside bubblewrap it is the first process of the namespace. It has
to start within milliseconds, hence no pathlib, no json, and ctypes only where nothing else will do. It is the child
subreaper of all that the program starts, so a double fork leads nowhere, and its own death ends the program.
"""
# ruff: noqa: PTH101, PTH115, PTH116, PTH123, PTH208, SIM105

# Not signal: its enums take longer to import than all else here.
import _signal as signal  # pyright: ignore[reportMissingImports]
import marshal
import os
import resource
import select
import stat
import sys
import time

INTERVAL_MS = 5
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
SMALLEST_FILE = 4096
"""Bytes that a file or folder counts at least: empty ones are not free either."""
MOST_DEPTH = 256
NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit codes as a shell gives them."""
SUBREAPER, NO_NEW_PRIVILEGES, KEEP_CAPABILITIES, PARENT_DEATH, AMBIENT, SECCOMP = 36, 38, 8, 1, 47, 22
SIGNALS = 2
"""LANDLOCK_SCOPE_SIGNAL."""
READ_ANYTHING = 2
"""CAP_DAC_READ_SEARCH: the mounts or Landlock say what is readable, not the file modes of the host."""
CAPSET = {"x86_64": 126, "aarch64": 91}


def main() -> None:
    """Run the program and report how it ended."""
    # Python listens to SIGINT, which would let the program interrupt the first process of its namespace.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    settings_file, lifeline, status = (int(argument) for argument in sys.argv[1:])
    keep_descriptors()
    with open(settings_file, "rb") as stream:
        settings = marshal.load(stream)
    can_enter, settings["scoped"] = settings["scoped"], False
    try:
        if not settings["namespaced"]:
            prctl(SUBREAPER, 1)
        if can_enter:
            enter_scope()
            # Only now: a signal to all would reach the user's other processes from outside a scope.
            settings["scoped"] = True
        report = supervise(settings, lifeline)
    except OSError as error:
        end_all(settings)
        report = f"broken {error}"
    os.write(status, report.encode())


def keep_descriptors() -> None:
    """Have no program inherit what this process was handed."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.set_inheritable(int(name), False)
            except OSError:  # the listing's own
                pass


def enter_scope() -> None:
    """Enter a domain of its own, from which signals reach only what this process starts."""
    prctl(NO_NEW_PRIVILEGES, 1)
    restrict({"handled": [0, 0, SIGNALS], "paths": []})


def supervise(settings: dict, lifeline: int) -> str:
    """Return the line of the status: the program and all it started have ended."""
    started = time.monotonic()
    child = start(settings)
    watch = Watch(settings, child)
    poll = select.poll()
    for file in (os.pidfd_open(child), lifeline):
        poll.register(file, select.POLLIN | select.POLLHUP)
    pause = 1
    code: int | None = None
    ending: str | None = None
    while ending is None:
        ready = [file for file, _ in poll.poll(pause)]
        pause = INTERVAL_MS
        code = reap(child, watch)
        if code is not None:
            ending = "over"
        elif lifeline in ready:
            ending = "closed"
        elif settings["wall"] and time.monotonic() - started > settings["wall"]:
            ending = "wall_time"
        else:
            ending = watch.exceeded()
    end_all(settings, child)
    # A program that fills the disk and ends at once is not seen by the watch.
    if ending == "over" and watch.disk_exceeded():
        ending = "disk"
    if ending == "over" and code is not None:
        ending, code = own_ending(code)
    return f"{ending} {code if ending in ('exited', 'signalled') else 0} {time.monotonic() - started:.6f}"


def own_ending(status: int) -> tuple[str, int]:
    """Return how a program ended by itself, and its exit code or signal."""
    if os.WIFEXITED(status):
        return "exited", os.WEXITSTATUS(status)
    number = os.WTERMSIG(status)
    return {int(signal.SIGXCPU): "cpu_time", int(signal.SIGXFSZ): "disk"}.get(number, "signalled"), number


def start(settings: dict) -> int:
    """Start the program and return its id; raises OSError when it cannot be contained."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            contain(settings)
            execute(settings)
        except BaseException as error:  # whatever breaks, this copy of the supervisor must not go on
            os.write(writing, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(NOT_EXECUTABLE)
    os.close(writing)
    with open(reading, "rb") as problem:
        text = problem.read()
    if text:
        os.waitpid(child, 0)
        raise OSError(text.decode())
    return child


def contain(settings: dict) -> None:
    """Give up, in the program's process, all that it must not have."""
    os.setsid()
    os.umask(0o022)
    with open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")
    for limit, value in settings["limits"].items():
        number = getattr(resource, limit)
        most = resource.getrlimit(number)[1]
        if most != resource.RLIM_INFINITY:
            value = (min(value[0], most), min(value[1], most))
        resource.setrlimit(number, value)
    if settings["user"] is not None:
        become(settings["user"], keep_reading=settings["keep_reading"])
    if not settings["namespaced"]:
        prctl(PARENT_DEATH, signal.SIGKILL)
        prctl(NO_NEW_PRIVILEGES, 1)
    if settings["landlock"]:
        restrict(settings["landlock"])
    os.chdir(settings["folder"])
    if settings["seccomp"]:
        restrict_calls(settings["seccomp"])


def execute(settings: dict) -> None:
    """Become the program; one that is not there says so on standard error, as in a shell."""
    # What Python ignores would stay ignored in the program.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    command, environment = settings["command"], settings["environment"]
    try:
        os.execvpe(command[0], command, environment)
    except (OSError, ValueError) as error:
        try:
            os.write(2, f"{command[0]}: {getattr(error, 'strerror', error)}\n".encode(errors="backslashreplace"))
        finally:
            os._exit(NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE)


def reap(child: int, watch: "Watch") -> int | None:
    """Collect what has ended; returns the status of the program, None while it runs."""
    code = None
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        watch.reaped += usage.ru_utime + usage.ru_stime
        if pid == child:
            code = status


def end_all(settings: dict, child: int = 0) -> None:
    """End every process that the program started, however many there are and however fast they start others.

    One signal to all of them is one step for the kernel, which no fork gets between: all of the namespace, all that the
    scope lets this process reach, or the one group that the filter lets nobody leave.
    """
    watch = Watch(settings, child)
    while True:
        if (settings["namespaced"] and os.getpid() == 1) or (settings["scoped"] and not reaches_outside()):
            kill(-1)
        else:
            for pid in (-child, *watch.descendants()):
                kill(pid)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.0005)


def kill(pid: int) -> None:
    """Kill a process, a group (-id), or all that can be reached (-1)."""
    try:
        if pid:
            os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def reaches_outside() -> bool:
    """Return whether this process could signal the one that started it."""
    try:
        os.kill(os.getppid(), 0)
    except PermissionError:
        return False
    return True


class Watch:
    """What the program and all it started take together."""

    def __init__(self, settings: dict, child: int) -> None:
        """Start with nothing seen."""
        self.settings = settings
        self.child = child
        self.reaped = 0.0
        self.processors: dict[tuple[int, int], int] = {}
        self.ours = {str(os.getpid())}
        self.foreign = {"0"}
        """Names in /proc that are none of ours; the kernel's own processes have the parent 0."""
        self.next_disk = 0.0
        stdin = os.fstat(0)
        self.not_counted = (stdin.st_dev, stdin.st_ino)

    def exceeded(self) -> str | None:
        """Return the limit that is exceeded, or None."""
        found = {pid: fields for pid in self.descendants() if (fields := process_fields(pid))}
        if self.memory(found) > self.settings["memory"]:
            return "memory"
        if self.processor_seconds(found) > self.settings["cpu"]:
            return "cpu_time"
        self.end_surplus(found)
        now = time.monotonic()
        if now >= self.next_disk:
            exceeded = self.disk_exceeded(found)
            # A folder that takes long to look through is looked at less often.
            self.next_disk = time.monotonic() + 3 * (time.monotonic() - now)
            if exceeded:
                return "disk"
        return None

    def descendants(self) -> list[int]:
        """Return the ids of all processes below this one."""
        listed = set(os.listdir("/proc"))
        if self.settings["namespaced"]:
            return [int(name) for name in listed if name.isdigit() and name != "1"]
        # The host may have thousands: each is looked at once, and known by its name from then on.
        self.foreign &= listed | {"0"}
        self.ours &= listed
        new = listed - self.foreign - self.ours
        parents = {name: str(fields[1]) for name in new if name.isdigit() and (fields := process_fields(int(name)))}
        self.foreign |= {name for name in new if not name.isdigit()}
        settled = True
        while settled:
            settled = False
            for name, parent in list(parents.items()):
                # Neither known nor listed is a parent that has just ended: the next look tells.
                known = self.ours if parent in self.ours else self.foreign if parent in self.foreign else None
                if known is not None:
                    known.add(name)
                    del parents[name]
                    settled = True
        return [int(name) for name in self.ours if name != str(os.getpid())]

    def memory(self, found: dict[int, list[int]]) -> int:
        """Return bytes in memory; what processes share is counted once as soon as it matters."""
        in_shared = shared_memory() if self.settings["namespaced"] else 0
        resident = sum(fields[21] * PAGE for fields in found.values())
        if resident + in_shared <= self.settings["memory"]:
            return resident + in_shared
        # Two looks: a process that starts others in the middle of one is counted for their shares as well.
        looks = [sum(proportional(pid) for pid in found) for _ in range(2)]
        return in_shared + min(looks)

    def processor_seconds(self, found: dict[int, list[int]]) -> float:
        """Return CPU time, of processes that have ended as well."""
        collected = self.reaped
        for pid, fields in found.items():
            self.processors[pid, fields[19]] = fields[11] + fields[12]
            collected += (fields[11] + fields[12] + fields[13] + fields[14]) / TICKS
        # Either misses something: children that nobody waits for, children that live between two looks.
        return max(collected, sum(self.processors.values()) / TICKS)

    def end_surplus(self, found: dict[int, list[int]]) -> None:
        """End the youngest processes beyond the limit, where the kernel does not keep it by itself."""
        surplus = sum(fields[17] for fields in found.values()) - self.settings["processes"]
        for pid, fields in sorted(found.items(), key=lambda item: item[1][19], reverse=True):
            if surplus <= 0 or pid == self.child:
                return
            kill(pid)
            surplus -= fields[17]

    def disk_exceeded(self, found: dict[int, list[int]] | tuple[()] = ()) -> bool:
        """Return whether the files, deleted ones that are still open included, take more than allowed."""
        allowed = self.settings["disk"]
        counted = {self.not_counted}
        for folder in self.settings["writable"]:
            allowed -= tree_bytes(folder, allowed, counted, self.settings["readable"])
        for pid in found:
            allowed -= deleted_bytes(pid, counted)
        return allowed < 0


def tree_bytes(folder: str, allowed: int, counted: set[tuple[int, int]], readable: list[str]) -> int:
    """Return what is below a folder, counting no further than ``allowed``; a nest too deep counts as too much."""
    total, waiting = 0, [(folder, 0)]
    while waiting:
        path, depth = waiting.pop()
        try:
            entries = list_folder(path)
        except OSError:  # gone meanwhile
            continue
        for name in entries:
            try:
                found = os.lstat(f"{path}/{name}")
            except OSError:  # gone meanwhile
                continue
            if (found.st_dev, found.st_ino) in counted or f"{path}/{name}" in readable:
                continue
            if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
                counted.add((found.st_dev, found.st_ino))
            total += max(SMALLEST_FILE, found.st_blocks * 512)
            if stat.S_ISDIR(found.st_mode):
                waiting.append((f"{path}/{name}", depth + 1))
            if total > allowed or depth > MOST_DEPTH:
                return allowed + 1
    return total


def list_folder(path: str) -> list[str]:
    """Return the names in a folder; one that its owner closed is opened."""
    try:
        return os.listdir(path)
    except PermissionError:
        place = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            os.chmod(f"/proc/self/fd/{place}", 0o700)
        finally:
            os.close(place)
        return os.listdir(path)


def deleted_bytes(pid: int, counted: set[tuple[int, int]]) -> int:
    """Return what a process holds open of files without a name."""
    total, folder = 0, f"/proc/{pid}/fd"
    try:
        files = os.listdir(folder)
    except OSError:  # gone meanwhile, or not ours to see
        return 0
    for file in files:
        try:
            if not os.readlink(f"{folder}/{file}").endswith(" (deleted)"):
                continue
            found = os.stat(f"{folder}/{file}")
        except OSError:
            continue
        if (found.st_dev, found.st_ino) not in counted:
            counted.add((found.st_dev, found.st_ino))
            total += found.st_blocks * 512
    return total


def process_fields(pid: int) -> list[int]:
    """Return the numbers of /proc/PID/stat from the state on (proc(5) less 3); nothing when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            words = stream.read().rpartition(b") ")[2].split()
    except OSError:
        return []
    return [0, *(int(word) for word in words[1:22])]


def proportional(pid: int) -> int:
    """Return a process's share of memory, pages it shares divided by those who share them; all where that is hidden."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as stream:
            return 1024 * sum(int(line.split()[1]) for line in stream if line.startswith(b"Pss:"))
    except OSError:
        fields = process_fields(pid)
        return fields[21] * PAGE if fields else 0


def shared_memory() -> int:
    """Return bytes of files in memory that no process need have mapped."""
    found = os.statvfs("/dev/shm")
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def become(user: int, *, keep_reading: bool) -> None:
    """Become a user without a name, and keep at most one of root's rights: reading, within what can be seen."""
    kept = keep_reading and prctl(KEEP_CAPABILITIES, 1, check=False) == 0
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    if not kept:
        return
    import ctypes

    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    # Where the right is not there to be kept, nothing is.
    for wanted in (1 << READ_ANYTHING, 0):
        sets = (ctypes.c_uint32 * 6)(wanted, wanted, wanted, 0, 0, 0)
        if system_call(CAPSET[os.uname().machine], header, sets) == 0:
            break
    else:
        raise OSError("the capabilities of root cannot be given up")
    if wanted:
        prctl(AMBIENT, 2, READ_ANYTHING, check=False)


def restrict(rules: dict) -> None:
    """Enter a Landlock domain: rights only where a rule gives them."""
    import ctypes

    ruleset = b"".join(number.to_bytes(8, sys.byteorder) for number in rules["handled"])
    domain = system_call(444, ruleset, ctypes.c_size_t(len(ruleset)), 0)
    if domain < 0:
        raise OSError("landlock_create_ruleset is refused")
    for path, rights in rules["paths"]:
        try:
            place = os.open(path, os.O_PATH)
        except PermissionError:
            raise OSError(
                f"{path} cannot be reached by other users, whom programs run as: allow it (chmod o+x above it), "
                "or keep the capability DAC_READ_SEARCH"
            ) from None
        rule = rights.to_bytes(8, sys.byteorder) + place.to_bytes(4, sys.byteorder)
        if system_call(445, domain, 1, rule, 0) < 0:
            raise OSError(f"landlock_add_rule is refused for {path}")
        os.close(place)
    if system_call(446, domain, 0) < 0:
        raise OSError("landlock_restrict_self is refused")


def restrict_calls(program: bytes) -> None:
    """Put on the seccomp filter."""
    import ctypes

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))

    prctl(SECCOMP, 2, ctypes.byref(Program(len(program) // 8, program)))


def prctl(*arguments: object, check: bool = True) -> int:
    """Make the system call prctl; raises OSError when it is refused, unless it need not succeed."""
    import ctypes

    words = [argument if not isinstance(argument, int) else ctypes.c_ulong(argument) for argument in arguments]
    words += [ctypes.c_ulong(0)] * (5 - len(words))
    answer = ctypes.CDLL(None, use_errno=True).prctl(*words)
    if answer < 0 and check:
        raise OSError(ctypes.get_errno(), f"prctl {arguments[0]} is refused")
    return answer


def system_call(*arguments: object) -> int:
    """Make a system call that the standard library has no function for; -1 says that it failed."""
    import ctypes

    return ctypes.CDLL(None, use_errno=True).syscall(*arguments)


if __name__ == "__main__":
    main()
