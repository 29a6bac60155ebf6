"""Which environment a run learns in: one, or several that are mixed by weight."""

import re
from typing import Any, Self

from pydantic import Field, model_validator

from turnwright.config.section import Section

DOMAIN = re.compile(r"[a-z0-9_]+")
METRIC_FAMILIES = frozenset(
    {"analysis", "busy_s", "cost", "eval", "health", "rollout", "score", "step", "time", "timing_s", "training", "val"}
)
"""First parts of the names in metrics.jsonl: a domain of such a name would hide them."""


class Member(Section):
    """[environment.mixture.<domain>]: one environment of a mixture."""

    name: str = Field(min_length=1)
    """As ``environment.name``."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the environment."""
    weight: float = Field(default=1.0, gt=0)
    """Its share of the groups of a run, relative to the other members."""
    scorer: str | None = Field(default=None, min_length=1)
    """Its independent scorer, as ``evaluation.scorer``; unset = that one."""


class EnvironmentChoice(Section):
    """[environment]: the world to learn in, or a mixture of several."""

    name: str | None = Field(default=None, min_length=1)
    """``package.module:Class``, ``path/file.py:Class``, ``sop:FOLDER`` or the name of a built-in environment."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the environment."""
    mixture: dict[str, Member] = Field(default_factory=dict[str, Member])
    """Several environments in one run, in place of ``name``: a table ``[environment.mixture.<domain>]`` for each, with
    ``name``, ``options``, ``weight`` (default 1) and ``scorer`` (default ``evaluation.scorer``)."""

    @property
    def title(self) -> str:
        """What it is called: the name, or "mixture of returns and hangar"."""
        if self.name is not None:
            return self.name
        *others, last = sorted(self.mixture)
        return f"mixture of {', '.join(others)} and {last}" if others else f"mixture of {last}"

    @model_validator(mode="after")
    def _check_one_choice(self) -> Self:
        if self.name is None and not self.mixture:
            raise ValueError(
                "environment.name is missing: name one, as in environment.name=..., or several as tables "
                "[environment.mixture.<domain>]"
            )
        if self.name is not None and self.mixture:
            raise ValueError(
                f"environment.name = {self.name!r} and environment.mixture ({', '.join(self.mixture)}) exclude each "
                "other: remove the name, or make it a member of the mixture"
            )
        if self.options and self.mixture:
            raise ValueError(
                f"environment.options ({', '.join(self.options)}) has no effect on a mixture: options belong to its "
                "members, as in environment.mixture.<domain>.options"
            )
        for domain in self.mixture:
            _check_domain(domain)
        return self


def _check_domain(domain: str) -> None:
    if not DOMAIN.fullmatch(domain):
        raise ValueError(
            f"environment.mixture has a domain {domain!r}: expected lower-case letters, digits and _ alone, because "
            "it begins the names of metrics and tasks; rename it"
        )
    if domain in METRIC_FAMILIES:
        raise ValueError(
            f"environment.mixture has a domain {domain!r}, which is a family of metrics: '{domain}/...' would mean "
            f"two things; choose another name than {', '.join(sorted(METRIC_FAMILIES))}"
        )
