"""Publication: versions of a policy's trained weights, from the learner's tensors to those of another process.

    learner's tensors --Publisher.write--> version_000012.safetensors, checksum --Replica.read--> checked, staged
                                                                               --Replica.apply--> the replica's tensors

A file holds of each trained tensor all of it, or where it changed since the version before and to what, where that
takes less than half; of one that did not change, nothing. Only bits are compared and copied, never numbers, so that NaN
and -0.0 arrive as they are. A file has its name only when it is complete, and counts only under its checksum (SHA-256).
"""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from turnwright.core.errors import PublicationError
from turnwright.models.load import Policy

MEMORY_FOLDER = Path("/dev/shm")
"""Files here are memory, where the system has it."""
BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""What a number of so many bytes is compared and copied as."""
MOST_SHORT_POSITIONS = 2**31
"""Tensors of more numbers than this need positions of eight bytes."""
ALL, AT, TO = "all:", "at:", "to:"
"""Begin the names in a file: a whole tensor; positions of what changed in it; the bits that stand there now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One version as it lies in a folder."""

    file: Path
    version: int
    base: int | None
    """Version that the replica must have for the changes to make sense; None = every tensor is whole."""
    checksum: str
    """SHA-256 of the file, in hex."""
    num_bytes: int
    """Size of the file."""
    num_changed: int
    """Numbers that differ from the base; without one, all."""
    num_trained: int
    """Numbers that are trained."""


class Publisher:
    """The learner's side: writes versions and remembers what the replica has."""

    def __init__(self, policy: Policy, folder: Path) -> None:
        """Start without a base: the first version is written whole.

        Args:
            policy: Its parameters that require a gradient are published, with adapters those alone.
            folder: Where the files go; see ``publication_folder``.
        """
        self._policy = policy
        self._folder = folder
        self._base: Mapping[str, Tensor] = {}
        self._base_version: int | None = None
        self._written: Mapping[str, Tensor] = {}

    @torch.no_grad()
    def write(self, version: int) -> Publication:
        """Write the weights as they are now; they must not change meanwhile.

        Raises PublicationError when the folder does not take them.
        """
        trained = {name: p for name, p in self._policy.model.named_parameters() if p.requires_grad}
        self._written = {name: _bits(parameter).to("cpu", copy=True) for name, parameter in trained.items()}
        entries: dict[str, Tensor] = {}
        num_changed = 0
        for name, now in self._written.items():
            changes, count = _changes(name, self._base.get(name), now)
            entries |= changes
            num_changed += count
        file = self._folder / f"version_{version:06d}.safetensors"
        temporary = file.with_suffix(".tmp")
        try:
            save_file(entries, temporary)
            checksum = _checksum(temporary)
            temporary.replace(file)
        except (OSError, SafetensorError) as error:
            temporary.unlink(missing_ok=True)
            raise PublicationError(
                f"version {version} of the weights cannot be written to '{self._folder}': {error}; make room there"
            ) from error
        return Publication(
            file=file,
            version=version,
            base=self._base_version,
            checksum=checksum,
            num_bytes=file.stat().st_size,
            num_changed=num_changed,
            num_trained=sum(now.numel() for now in self._written.values()),
        )

    def accept(self, publication: Publication) -> None:
        """Take the version that was written last as what the replica has now."""
        self._base, self._base_version, self._written = self._written, publication.version, {}

    def forget(self) -> None:
        """Write the next version whole, because nobody knows what the replica has."""
        self._base, self._base_version, self._written = {}, None, {}


class Replica:
    """The other side: a policy whose trained weights are replaced version by version."""

    def __init__(self, policy: Policy) -> None:
        """Start with the weights as they were loaded, which are nobody's base."""
        self._tensors = dict(policy.model.named_parameters())
        self.version: int | None = None
        """Version that was applied last."""

    def read(self, publication: Publication) -> dict[str, Tensor]:
        """Check a version and return its entries, where the weights are; changes no weight.

        Raises PublicationError when it is missing, damaged, or goes with other weights than these.
        """
        name = f"version {publication.version} of the weights"
        kept = "the engine keeps those it has"
        if publication.base not in (None, self.version):
            raise PublicationError(
                f"{name} holds what changed since version {publication.base}, and the engine has version "
                f"{self.version}: {kept}; publish the version whole"
            )
        try:
            found = _checksum(publication.file)
            if found != publication.checksum:
                raise PublicationError(
                    f"{name} is damaged: '{publication.file}' has the SHA-256 {found}, expected "
                    f"{publication.checksum}; {kept}; look at the memory or disk behind it, and publish it again"
                )
            entries = load_file(publication.file)
        except FileNotFoundError as error:
            raise PublicationError(
                f"{name} is missing: there is no file '{publication.file}'; {kept}; publish it again"
            ) from error
        except (OSError, SafetensorError) as error:
            raise PublicationError(f"{name} cannot be read from '{publication.file}': {error}; {kept}") from error
        wrong = next((entry for entry, tensor in entries.items() if not self._fits(entry, tensor, entries)), None)
        if wrong is not None:
            raise PublicationError(f"{name} is of another model: {wrong!r} fits no tensor of this one; {kept}")
        return {entry: tensor.to(self._tensors[_tensor_name(entry)].device) for entry, tensor in entries.items()}

    @torch.no_grad()
    def apply(self, publication: Publication, entries: Mapping[str, Tensor]) -> None:
        """Write the entries of a version that ``read`` returned; nobody may compute with the policy meanwhile."""
        for entry, tensor in entries.items():
            if entry.startswith(AT):
                continue
            parameter = self._tensors[_tensor_name(entry)]
            bits = _bits(parameter)
            if entry.startswith(ALL):
                bits.copy_(tensor)
            else:
                bits[entries[AT + _tensor_name(entry)].long()] = tensor
            if bits.data_ptr() != parameter.data_ptr():
                # A tensor whose numbers do not lie in a row has no flat view: the bits are a copy.
                parameter.copy_(bits.view(parameter.dtype).view(parameter.shape))
        self.version = publication.version

    def _fits(self, entry: str, tensor: Tensor, entries: Mapping[str, Tensor]) -> bool:
        parameter = self._tensors.get(_tensor_name(entry))
        if parameter is None:
            return False
        bits = BITS[parameter.element_size()]
        if entry.startswith(ALL):
            return tensor.dtype == bits and tensor.numel() == parameter.numel()
        if entry.startswith(TO):
            positions = entries.get(AT + _tensor_name(entry))
            return tensor.dtype == bits and positions is not None and positions.shape == tensor.shape
        return not tensor.numel() or (int(tensor.min()) >= 0 and int(tensor.max()) < parameter.numel())


def publication_folder(policy: Policy) -> Path:
    """Make a folder for the versions of a policy: in memory where that has room for two, otherwise on disk."""
    needed = 2 * sum(p.numel() * p.element_size() for p in policy.model.parameters() if p.requires_grad)
    roomy = MEMORY_FOLDER.is_dir() and shutil.disk_usage(MEMORY_FOLDER).free > needed
    return Path(tempfile.mkdtemp(prefix="turnwright-weights-", dir=MEMORY_FOLDER if roomy else None))


def fingerprint(policy: Policy) -> dict[str, str]:
    """Return the SHA-256 of each tensor of a policy, by name."""
    return {
        name: hashlib.sha256(_bits(parameter).cpu().numpy().data).hexdigest()
        for name, parameter in policy.model.named_parameters()
    }


def differing(ours: Mapping[str, str], theirs: Mapping[str, str]) -> Sequence[str]:
    """Return the names of tensors that two fingerprints do not share."""
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def _changes(name: str, base: Tensor | None, now: Tensor) -> tuple[dict[str, Tensor], int]:
    """Return the entries that turn one tensor into another, and how many numbers differ."""
    if base is None:
        return {ALL + name: now}, now.numel()
    changed = base != now
    count = int(changed.count_nonzero())
    if not count:
        return {}, 0
    position = torch.int32 if now.numel() <= MOST_SHORT_POSITIONS else torch.int64
    if 2 * count * (position.itemsize + now.element_size()) >= now.nbytes:
        return {ALL + name: now}, count
    at = changed.nonzero()[:, 0]
    return {AT + name: at.to(position), TO + name: now[at]}, count


def _bits(tensor: Tensor) -> Tensor:
    """Return the bits of a tensor in a row: a view of it where its numbers lie in a row, otherwise a copy."""
    return tensor.detach().contiguous().view(-1).view(BITS[tensor.element_size()])


def _tensor_name(entry: str) -> str:
    return entry.partition(":")[2]


def _checksum(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
