"""Retries: which earlier call a call repeats. A call that does not say so repeats none, however alike they are."""

from collections.abc import Iterable

from turnwright.gateway.calls import Call
from turnwright.gateway.exchange import LiveExchange


def repeated_exchange(call: Call, exchanges: Iterable[LiveExchange]) -> LiveExchange | None:
    """Return the exchange that ``call`` asks for again; None when it is a call of its own.

    A call says so by its client's retry counter, by the id that its client gives to all attempts at one call, or by an
    Idempotency-Key; and it must ask for the same as the call it repeats, because clients reuse keys by mistake. Where
    several calls fit, it is the one that is most in need of a retry: not delivered, joined by the fewest, the latest.

    Args:
        call: The new call.
        exchanges: Calls of its trajectory in work or recorded; one that failed was never recorded and cannot be
            repeated.
    """
    mark = call.mark
    if mark.key is None and not mark.is_retry:
        return None
    if mark.key is not None and not (mark.is_retry or mark.idempotency):
        return None
    fitting = [
        exchange
        for exchange in exchanges
        if exchange.refusal is None and (mark.key is None or exchange.mark.key == mark.key) and exchange.repeats(call)
    ]
    return min(
        fitting, key=lambda exchange: (exchange.is_delivered, exchange.num_joined, -exchange.created), default=None
    )
