"""TrajectoryLog: a session's way to the write-ahead log, which remembers when a record was lost."""

from turnwright.core.errors import DatasetError, RunDirectoryError
from turnwright.core.outcome import Failed
from turnwright.gateway.refusals import Refusal
from turnwright.rundir.gateway_records import GatewayRecord
from turnwright.rundir.record_log import RecordSink


class TrajectoryLog:
    """The log as one trajectory sees it."""

    __slots__ = ("_sink", "failure")

    def __init__(self, sink: RecordSink) -> None:
        """Write to ``sink``."""
        self.failure: Failed | None = None
        """A record of this trajectory is missing in the log, so that it counts as failed."""
        self._sink = sink

    async def append(self, record: GatewayRecord) -> None:
        """Return when the record is on disk; raises Refusal when it cannot be written."""
        try:
            await self._sink.append(record)
        except (RunDirectoryError, DatasetError) as error:
            self.failure = Failed(cause="record_error", detail=str(error))
            raise Refusal(
                "internal",
                f"the {record.kind} record of trajectory {record.trajectory_id!r} could not be written: {error}",
                reason="record",
            ) from error
