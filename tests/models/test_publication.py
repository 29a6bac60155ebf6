"""Versions of weights: what arrives is what was written, to the bit, or nothing."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from models.adapted import RANK_4, adapted_policy, save_base, scatter
from models.tiny import tiny_policy
from turnwright.core.errors import PublicationError
from turnwright.models.load import Policy, load_policy
from turnwright.models.publication import (
    Publication,
    Publisher,
    Replica,
    differing,
    fingerprint,
    publication_folder,
)

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.float8_e4m3fn)
ODD = (0.0, -0.0, float("nan"), float("inf"), -1.5)


class Weights(nn.Module):
    """Stands for a model: tensors of chosen bits."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        super().__init__()
        self.tensors = nn.ParameterList([nn.Parameter(tensor, requires_grad=True) for tensor in tensors])


def policy_of(*tensors: Tensor) -> Policy:
    return Policy(model=Weights(tensors), path="tensors")  # pyright: ignore[reportArgumentType]


def bytes_of(policy: Policy) -> dict[str, bytes]:
    return {
        name: parameter.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        for name, parameter in policy.model.named_parameters()
    }


def overwrite(policy: Policy, data: Sequence[bytes]) -> None:
    with torch.no_grad():
        for parameter, content in zip(policy.model.parameters(), data, strict=True):
            bits = torch.frombuffer(bytearray(content), dtype=torch.uint8).view(parameter.dtype)
            parameter.copy_(bits.view(parameter.shape))


def deliver(publisher: Publisher, replica: Replica, version: int) -> Publication:
    """Carry one version all the way."""
    publication = publisher.write(version)
    replica.apply(publication, replica.read(publication))
    publisher.accept(publication)
    return publication


@given(data=st.data(), dtype=st.sampled_from(DTYPES), versions=st.integers(1, 4))
def test_any_bits_arrive_as_they_are(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, dtype, versions):
    """Random bits are NaN with payloads, denormal, infinite: each version changes some of them."""
    sizes = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=3))
    width = dtype.itemsize
    contents = [data.draw(st.binary(min_size=size * width, max_size=size * width)) for size in sizes]
    policy, other = (policy_of(*(torch.zeros(size, dtype=dtype) for size in sizes)) for _ in range(2))
    folder = tmp_path_factory.mktemp("published")
    publisher, replica = Publisher(policy, folder), Replica(other)
    for version in range(1, versions + 1):
        overwrite(policy, contents)
        publication = deliver(publisher, replica, version)
        assert bytes_of(other) == bytes_of(policy)
        assert list(bytes_of(other).values()) == contents
        assert publication.base == (version - 1 or None)
        for number, size in enumerate(sizes):
            for place in data.draw(st.sets(st.integers(0, size - 1), max_size=size)):
                new = data.draw(st.binary(min_size=width, max_size=width))
                content = contents[number]
                contents[number] = content[: place * width] + new + content[(place + 1) * width :]


@pytest.mark.parametrize("dtype", DTYPES)
def test_zeros_of_either_sign_and_nan_are_told_apart_by_their_bits(tmp_path: Path, dtype: torch.dtype):
    values = torch.tensor(ODD * 20).to(dtype)
    policy, other = policy_of(values.clone()), policy_of(torch.ones(100).to(dtype))
    publisher, replica = Publisher(policy, tmp_path), Replica(other)
    deliver(publisher, replica, 1)
    with torch.no_grad():
        policy.model.tensors[0][0] = -0.0
    changed = deliver(publisher, replica, 2)
    assert bytes_of(other) == bytes_of(policy)
    # NaN equals nothing, itself included, but its bits do not change; 0.0 equals -0.0, but its bits differ.
    assert changed.num_changed == 1


def test_a_tensor_whose_numbers_do_not_lie_in_a_row_is_written_too(tmp_path: Path):
    policy, other = policy_of(torch.zeros(6, 4).T), policy_of(torch.zeros(6, 4).T)
    assert not next(other.model.parameters()).is_contiguous()
    publisher, replica = Publisher(policy, tmp_path), Replica(other)
    for version, place in ((1, (0, 1)), (2, (3, 5))):
        with torch.no_grad():
            policy.model.tensors[0][place] = float(version)
        deliver(publisher, replica, version)
        assert bytes_of(other) == bytes_of(policy)


def test_a_version_holds_changes_where_they_take_less_than_half(tmp_path: Path):
    """1,200 numbers of 2 bytes are 2,400 whole; a change takes 4 bytes of position and 2 of value: 199 take 1,194."""
    policy, other = policy_of(torch.zeros(1200).bfloat16()), policy_of(torch.zeros(1200).bfloat16())
    publisher, replica = Publisher(policy, tmp_path), Replica(other)
    header = 256
    assert deliver(publisher, replica, 1).num_bytes >= 2400
    for version, count, most in ((2, 199, 1194 + header), (3, 1, 6 + header), (4, 0, header)):
        with torch.no_grad():
            policy.model.tensors[0][:count] += 1
        publication = deliver(publisher, replica, version)
        assert (publication.num_changed, publication.num_trained) == (count, 1200)
        assert publication.num_bytes <= most
    with torch.no_grad():
        policy.model.tensors[0][:200] += 1
    assert deliver(publisher, replica, 5).num_bytes >= 2400
    assert bytes_of(other) == bytes_of(policy)


def test_with_adapters_only_they_travel(tmp_path: Path):
    policy = adapted_policy(tmp_path / "base")
    other = load_policy(str(tmp_path / "base"), device="cpu", adapters=RANK_4)
    assert differing(fingerprint(policy), fingerprint(other))
    publication = deliver(Publisher(policy, tmp_path), Replica(other), 1)
    assert differing(fingerprint(policy), fingerprint(other)) == []
    assert publication.num_trained == sum(p.numel() for p in policy.model.parameters() if p.requires_grad)
    assert publication.num_trained < sum(p.numel() for p in policy.model.parameters()) / 2


def test_weights_that_were_loaded_alike_have_the_same_fingerprint(tmp_path: Path):
    save_base(tmp_path)
    one, other = (load_policy(str(tmp_path), device="cpu") for _ in range(2))
    assert differing(fingerprint(one), fingerprint(other)) == []
    scatter(other, std=0.1)
    assert len(differing(fingerprint(one), fingerprint(other))) == len(dict(one.model.named_parameters()))


def prepared(folder: Path) -> tuple[Publisher, Replica, Publication]:
    """Return both sides after version 1, and a version 2 that is on its way."""
    policy, other = tiny_policy(), tiny_policy()
    publisher, replica = Publisher(policy, folder), Replica(other)
    deliver(publisher, replica, 1)
    with torch.no_grad():
        next(policy.model.parameters())[0, 0] += 1
    return publisher, replica, publisher.write(2)


def test_a_damaged_version_is_named_and_changes_nothing(tmp_path: Path):
    _, replica, publication = prepared(tmp_path)
    content = bytearray(publication.file.read_bytes())
    content[-1] ^= 1
    publication.file.write_bytes(content)
    with pytest.raises(PublicationError, match=r"version 2 of the weights is damaged: '.*version_000002"):
        replica.read(publication)
    assert replica.version == 1


def test_a_version_cut_short_is_damaged_even_where_its_checksum_agrees(tmp_path: Path):
    _, replica, publication = prepared(tmp_path)
    publication.file.write_bytes(b"\x00" * 4)
    checksum = "df3f619804a92fdb4057192dc43dd748ea778adc52bc498ce80524c014b81119"
    with pytest.raises(PublicationError, match="version 2 of the weights cannot be read"):
        replica.read(replace(publication, checksum=checksum))


def test_a_missing_version_is_named(tmp_path: Path):
    _, replica, publication = prepared(tmp_path)
    publication.file.unlink()
    with pytest.raises(PublicationError, match="version 2 of the weights is missing: there is no file"):
        replica.read(publication)


def test_changes_to_other_weights_are_refused_and_a_whole_version_is_not(tmp_path: Path):
    publisher, replica, publication = prepared(tmp_path)
    other = Replica(tiny_policy())
    with pytest.raises(PublicationError, match="what changed since version 1, and the engine has version None"):
        other.read(publication)
    publisher.forget()
    deliver(publisher, other, 3)
    deliver(publisher, other, 4)
    with pytest.raises(PublicationError, match="since version 4, and the engine has version 1"):
        replica.read(publisher.write(5))


def test_a_version_of_another_model_is_refused(tmp_path: Path):
    publication = Publisher(tiny_policy(), tmp_path).write(1)
    with pytest.raises(PublicationError, match="of another model"):
        Replica(tiny_policy("llama")).read(publication)
    with pytest.raises(PublicationError, match=r"of another model: 'all:model\.embed_tokens"):
        Replica(tiny_policy(vocab_size=62)).read(publication)


def test_a_folder_that_takes_nothing_is_named(tmp_path: Path):
    with pytest.raises(PublicationError, match=r"version 1 of the weights cannot be written to '.*gone'"):
        Publisher(tiny_policy(), tmp_path / "gone").write(1)


def test_the_folder_is_its_own_and_empty():
    folder = publication_folder(tiny_policy())
    assert list(folder.iterdir()) == []
    assert folder.stat().st_mode & 0o077 == 0
    folder.rmdir()
