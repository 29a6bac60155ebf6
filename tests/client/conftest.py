from collections.abc import Iterator

import pytest

from client.stub_gateway import StubGateway
from turnwright.client import Backoff


@pytest.fixture
def gateway() -> Iterator[StubGateway]:
    with StubGateway() as gateway:
        yield gateway


@pytest.fixture
def quick() -> Backoff:
    """Tries four times without waiting long."""
    return Backoff(attempts=4, first_seconds=0.001, most_seconds=0.01, answer_seconds=5.0)
