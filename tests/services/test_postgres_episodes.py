"""Many episodes at once on a real PostgreSQL server, a fifth of them killed: apart, equal to alone, and gone."""

import tempfile
import threading
from pathlib import Path

import pytest

from environments.ledger import (
    NUM_EPISODES,
    NUM_KILLED,
    SCHEMA,
    TASKS,
    Ledger,
    draw_kills,
    fill,
    play_ledgers,
    responses,
    without_latency,
)
from services.asking import copies, schemas, sessions
from turnwright.core.episode import Episode
from turnwright.core.outcome import Failed, Rewarded
from turnwright.environments.resources.postgres import PostgresSchema
from turnwright.environments.resources.postgres_copy import PostgresCopy

pytestmark = pytest.mark.services

Kind = type[PostgresSchema] | type[PostgresCopy]


def ledger(kind: Kind, dsn: str) -> Ledger:
    return Ledger(kind(dsn, schema=SCHEMA, fill=fill), now="now()", forever="SELECT pg_sleep(600)")


@pytest.mark.parametrize("kind", [PostgresSchema, PostgresCopy])
def test_many_episodes_at_once_leave_nothing_and_go_as_they_go_alone(
    kind: Kind, postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    prototype, kills, threads = ledger(kind, postgres_dsn), draw_kills(), threading.active_count()
    together = play_ledgers(prototype, TASKS, kills)
    survivors = [episode for episode in together if isinstance(episode, Episode) and episode.key.task_id not in kills]
    assert (len(together), len(survivors)) == (NUM_EPISODES, NUM_EPISODES - NUM_KILLED)
    assert {type(episode.outcome) for episode in survivors} == {Rewarded}
    alone = [play_ledgers(ledger(kind, postgres_dsn), [episode.task], {})[0] for episode in survivors]
    assert [without_latency(episode) for episode in survivors] == [
        without_latency(episode) for episode in alone if isinstance(episode, Episode)
    ]
    assert len({responses(episode)[-1].content for episode in survivors}) == len(survivors)
    killed = [episode for episode, task in zip(together, TASKS, strict=True) if task.id in kills]
    assert all(not isinstance(episode, Episode) or isinstance(episode.outcome, Failed) for episode in killed)
    prototype.sweep_leftovers()  # the template that copies are made from
    assert (schemas(postgres_dsn), copies(postgres_dsn), sessions(postgres_dsn)) == ([], [], 0)
    assert (list(tmp_path.iterdir()), threading.active_count()) == ([], threads)
