"""A PostgreSQL server of the tests' own: a private folder and socket, no network, ended with the tests."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SETTINGS = "-c listen_addresses='' -c fsync=off -c max_connections=200 -c unix_socket_directories={folder}"


@pytest.fixture(scope="session")
def postgres_dsn() -> Iterator[str]:
    """Start a server and return where it is; skip where psycopg or the server's programs are missing."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'turnwright[postgres]'")
    programs = find_programs()
    # Short and open to all: a socket's path has a limit, and the server does not run as root.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    user = server_user()
    data, log = folder / "data", folder / "log"
    try:
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        run(user, programs / "initdb", "-D", data, "-U", "turnwright", "-A", "trust", "-E", "UTF8", "--no-sync")
        try:
            run(user, programs / "pg_ctl", "-D", data, "-l", log, "-w", "-o", SETTINGS.format(folder=folder), "start")
            yield f"host={folder} user=turnwright dbname=postgres"
        finally:
            run(user, programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def find_programs() -> Path:
    """Return the folder of initdb and pg_ctl."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    on_path = shutil.which("initdb")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    for folder in reversed(folders):
        if (folder / "initdb").is_file() and (folder / "pg_ctl").is_file():
            return folder
    pytest.skip("no PostgreSQL server: apt-get install postgresql")


def server_user() -> pwd.struct_passwd | None:
    """Return who the server runs as when the tests run as root, which it refuses to be; None = who runs the tests."""
    if os.getuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("a PostgreSQL server does not run as root, and there is no user 'postgres'")


def run(user: pwd.struct_passwd | None, *command: object) -> None:
    """Run a program of the server, as its user."""
    who = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    subprocess.run(
        [str(part) for part in command],
        check=True,
        timeout=100,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **who,
    )
