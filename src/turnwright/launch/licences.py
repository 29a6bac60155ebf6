"""Which licences a run's training rows are under, and who acknowledged them: for the run's manifest."""

from collections.abc import Mapping

from turnwright.config import ResolvedConfig
from turnwright.environments.base import Environment
from turnwright.environments.mixture import Mixture
from turnwright.environments.sop.environment import SopEnvironment
from turnwright.environments.sop.licence import find_licences
from turnwright.rundir.records import TrainedLicence

OPTION = "acknowledge_licence"


def trained_licences(prototype: Environment, resolved: ResolvedConfig) -> tuple[TrainedLicence, ...]:
    """Return a record per licence text of benchmark rows that the run trains on; none for environments of one's own."""
    members: Mapping[str, Environment] = prototype.members if isinstance(prototype, Mixture) else {"": prototype}
    return tuple(
        record
        for domain, member in members.items()
        if isinstance(member, SopEnvironment) and member.acknowledges_licence
        for record in _records(member, _source(resolved, domain))
    )


def _records(environment: SopEnvironment, source: str) -> list[TrainedLicence]:
    split = environment.split_rows
    return [
        TrainedLicence(
            domain=environment.folder.name,
            title=licence.title,
            file=licence.file,
            hash=licence.hash,
            acknowledged_by=source,
            split_lock=str(split.file) if split else "",
        )
        for licence in find_licences(environment.folder)
    ]


def _source(resolved: ResolvedConfig, domain: str) -> str:
    """Return where the acknowledgement came from: the file, an override or an argument."""
    keys = [
        key for key in resolved.sources if key.startswith("environment.") and (not domain or domain in key.split("."))
    ]
    exact = [key for key in keys if key.endswith(f".{OPTION}")]
    return next((resolved.sources[key] for key in (*exact, *keys)), "default")
