"""The support desk on a real PostgreSQL server is the one on SQLite, message by message."""

import asyncio

import pytest

from turnwright.audit.play import find_difference, play
from turnwright.environments.gallery.support_desk.environment import SupportDesk

pytestmark = pytest.mark.services


@pytest.mark.parametrize("policy", ["oracle", "new_colleague"])
def test_both_databases_play_alike(postgres_dsn: str, policy: str) -> None:
    on_file = SupportDesk(train_tasks=15)
    on_server = SupportDesk(train_tasks=15, database="postgres", dsn=postgres_dsn)
    assert on_server.for_episode().waits
    for task in on_file.tasks("train"):
        one, other = (
            asyncio.run(play(desk, task, desk.scripted(policy)(task, 0), seed=0)) for desk in (on_file, on_server)
        )
        assert find_difference(one, other) == ""
        assert one.outcome.kind == "rewarded"
    assert on_server.sweep_leftovers() == ()
