"""Names of tools from elsewhere, as dialects carry them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwright.core.errors import EnvironmentLoadError
from turnwright.environments.imported.policy_names import chosen, policy_names


def told(*names: str, **rename: str) -> dict[str, str]:
    return policy_names(names, rename, "the server")


def test_name_that_is_carried_stays_and_another_is_mapped() -> None:
    assert told("get_order", "desk/orders.get", "K\u00f6ln") == {
        "get_order": "get_order",
        "desk_orders_get": "desk/orders.get",
        "K_ln": "K\u00f6ln",
    }


def test_long_names_that_begin_alike_stay_apart() -> None:
    one, other = "a" * 70, "a" * 71
    names = told(one, other)
    assert list(names.values()) == [one, other]
    assert {len(name) for name in names} == {64}


@pytest.mark.parametrize(
    ("names", "rename"), [(("a.b", "a_b"), {}), (("a", "b"), {"a": "b"}), (("a", "b"), {"a": "c", "b": "c"})]
)
def test_two_tools_of_one_name_are_refused(names: tuple[str, ...], rename: dict[str, str]) -> None:
    with pytest.raises(EnvironmentLoadError, match="would both be"):
        told(*names, **rename)


@pytest.mark.parametrize("name", ["", "a b", "a" * 65])
def test_new_name_must_be_carried(name: str) -> None:
    with pytest.raises(EnvironmentLoadError, match="tool 'a' cannot be renamed"):
        told("a", a=name)


@given(st.text(min_size=1, max_size=90))
def test_every_name_is_carried(name: str) -> None:
    ((policy, server),) = told(name).items()
    assert server == name
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", policy)


def test_chosen_tools_keep_the_order_that_was_asked_for() -> None:
    there = ("a", "b", "c")
    assert chosen(there, where="the server") == there
    assert chosen(there, allow=("c", "a"), deny=("a",), where="the server") == ("c",)
    with pytest.raises(EnvironmentLoadError, match="the server has no tool 'd'; it has: a, b, c"):
        chosen(there, rename=("d",), where="the server")
