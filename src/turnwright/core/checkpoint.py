"""Checkpoint: saved weights, and what is known of them without loading them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One saved policy in Hugging Face format, to deploy; ``resume`` holds what an exact continuation needs."""

    path: Path
    step: int
    resume: Path | None = None
    """Optimizer state and counters; None for a checkpoint that can only be deployed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterRecord:
    """The adapters of a policy."""

    rank: int
    alpha: float
    targets: tuple[str, ...]
    """Ends of the names of the layers that have one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """What a policy is, apart from what it has learned. Adapters count nowhere but in ``adapters``.

    Example::

        ModelRecord(architecture="Qwen3ForCausalLM", num_parameters=2_304_000, shapes="3fd0...", dtype="float32")
    """

    architecture: str
    """Class of the model."""
    num_parameters: int
    shapes: str
    """SHA-256 over the names and shapes of all parameters."""
    dtype: str
    weights: str = ""
    """SHA-256 over a few numbers of each parameter; empty where the same weights may come out differently rounded."""
    adapters: AdapterRecord | None = None
    """None where all weights are trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """One file of a checkpoint, as it was saved."""

    path: str
    """Below the checkpoint's folder, with "/" between the parts."""
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointManifest:
    """What a checkpoint is and what belongs to it; the file manifest.json in its folder."""

    step: int
    model: ModelRecord | None
    """None where whoever saved it did not say."""
    files: tuple[FileRecord, ...]
    """All but manifest.json itself."""
    versions: Mapping[str, str] = field(default_factory=dict[str, str])
    """Python, and each library that shapes the files, where installed."""
