"""No client: plain HTTP."""

import pytest

from clients.conftest import Play
from clients.exactness import in_tokens
from clients.serving import PLAIN, Serving
from turnwright.core.outcome import Rewarded
from turnwright.rundir.record_log import recover

pytestmark = pytest.mark.clients


def test_plain_http_gives_the_trajectory_of_the_built_in_agent(play: Play, served: Serving):
    played = play("http_urllib")
    assert in_tokens(played.recorded.trajectory) == in_tokens(served.in_process(PLAIN).trajectory)
    assert played.recorded.outcome == Rewarded(value=0.5, components={"answer": 0.5})


def test_the_record_on_disk_is_the_same(play: Play, served: Serving):
    played = play("http_urllib")
    recovered = recover(served.records / "scoped")[-1]
    assert recovered.state == "rewarded"
    assert recovered.outcome == played.recorded.outcome
    assert recovered.trajectory == played.recorded.trajectory
