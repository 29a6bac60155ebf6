"""What a PostgreSQL server holds, asked from outside."""

import time
from typing import Any


def ask(dsn: str, sql: str) -> list[Any]:
    import psycopg

    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        return [row[0] for row in cursor] if cursor.description else []


def schemas(dsn: str) -> list[str]:
    return ask(dsn, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'turnwright%' ORDER BY nspname")


def sessions(dsn: str) -> int:
    """Return how many others are connected; one that ends takes the server a moment."""
    for _ in range(100):
        (count,) = ask(
            dsn,
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
        )
        if not count:
            return 0
        time.sleep(0.02)
    return count


def copies(dsn: str) -> list[str]:
    return ask(dsn, "SELECT datname FROM pg_database WHERE datname LIKE 'turnwright%' ORDER BY datname")
