"""Requests begin a few per turn of the event loop, in order, and none is left waiting."""

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from turnwright.gateway.http.pacing import TakeTurns, Turnstile


async def turns_of(turnstile: Turnstile, count: int, *, quitters: frozenset[int] = frozenset()) -> list[list[int]]:
    """Let ``count`` callers come at once; return who got through in each turn of the loop."""
    through: list[int] = []

    async def come(number: int) -> None:
        await turnstile.enter()
        through.append(number)

    callers = [asyncio.create_task(come(number)) for number in range(count)]
    turns: list[list[int]] = []
    while len(through) < count - len(quitters):
        seen = len(through)
        await asyncio.sleep(0)
        if len(through) > seen:
            turns.append(through[seen:])
        for number in quitters:
            callers[number].cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    return turns


def test_a_few_get_through_per_turn_in_the_order_of_their_coming() -> None:
    assert asyncio.run(turns_of(Turnstile(3), 8)) == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_who_gives_up_takes_nobodys_place() -> None:
    assert asyncio.run(turns_of(Turnstile(2), 7, quitters=frozenset({3, 4}))) == [[0, 1], [2, 5], [6]]


def test_those_who_come_later_are_let_through_as_well() -> None:
    async def come_twice() -> list[list[int]]:
        turnstile = Turnstile(2)
        await turns_of(turnstile, 3)
        await asyncio.sleep(0.01)
        return await turns_of(turnstile, 3)

    assert asyncio.run(come_twice()) == [[0, 1], [2]]


@pytest.mark.parametrize(("method", "waits"), [("POST", True), ("GET", False)])
def test_only_requests_with_a_body_take_turns(method: str, waits: bool) -> None:
    served: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        served.append(scope["number"])

    async def receive() -> Message:
        raise AssertionError("the app reads nothing")

    async def send(message: Message) -> None:
        raise AssertionError("the app writes nothing")

    async def call() -> None:
        paced = TakeTurns(app, per_turn=1)
        calls = [
            asyncio.create_task(paced({"type": "http", "method": method, "number": number}, receive, send))
            for number in range(3)
        ]
        await asyncio.sleep(0)
        assert served == ([0] if waits else [0, 1, 2])
        await asyncio.gather(*calls)
        assert served == [0, 1, 2]

    asyncio.run(call())
