"""Record log: the gateway's write-ahead log, the truth about every trajectory."""

from typing import Protocol

from turnwright.rundir.gateway_records import GatewayRecord


class RecordSink(Protocol):
    """Where a gateway puts its records."""

    async def append(self, record: GatewayRecord) -> None:
        """Return when the record survives a crash; raises RunDirectoryError when it cannot."""
        ...

    async def close(self) -> None:
        """Keep what was appended and free everything."""
        ...


class NoLog:
    """Keeps nothing: for a served checkpoint, which trains nobody, and to measure what the log costs."""

    async def append(self, record: GatewayRecord) -> None:
        """Forget the record."""

    async def close(self) -> None:
        """Do nothing."""
