"""Refusals: what the gateway answers instead of a reply, before a dialect spells it."""

from typing import Literal

from turnwright.core.errors import TurnwrightError

RefusalCode = Literal[
    "validation", "quota", "access_denied", "not_found", "conflict", "too_large", "throttled", "internal"
]

STATUS: dict[RefusalCode, int] = {
    "validation": 400,
    "quota": 402,
    "access_denied": 403,
    "not_found": 404,
    "conflict": 409,
    "too_large": 413,
    "throttled": 429,
    "internal": 500,
}
"""HTTP status of each refusal, the same in every dialect."""


class Refusal(TurnwrightError):
    """A call that is not carried out; the message names the field, the value, what was expected and the cure."""

    def __init__(
        self,
        code: RefusalCode,
        message: str,
        *,
        field: str | None = None,
        reason: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Say no.

        Args:
            code: What kind of refusal; decides status and each dialect's error type.
            message: For the caller to read.
            field: Request field at fault, as the caller spelled it.
            reason: Machine-readable detail, such as "context_length_exceeded", "max_turns", "sealed".
            retry_after: Seconds after which the same call may succeed.
        """
        super().__init__(message)
        self.code: RefusalCode = code
        self.field = field
        self.reason = reason
        self.retry_after = retry_after

    @property
    def status(self) -> int:
        """HTTP status."""
        return STATUS[self.code]
