from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rundir.strategies import trajectories
from turnwright.core.trajectory import Trajectory
from turnwright.rundir.table import read_table, write_table


@pytest.mark.slow
@settings(max_examples=30)
@given(st.lists(trajectories(min_turns=1), max_size=3, unique_by=lambda t: t.key))
def test_parquet_keeps_every_bit_and_the_order(given_trajectories: list[Trajectory]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "step_000001.parquet"
        write_table(given_trajectories, path)
        assert list(read_table(path)) == given_trajectories
        assert [entry.name for entry in Path(folder).iterdir()] == [path.name]
