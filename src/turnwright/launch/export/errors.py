"""ServiceError: why a service does not do what it was asked, with OpenEnv's code and the status of the answer."""

from collections.abc import Mapping
from typing import Literal

from turnwright.core.errors import TurnwrightError

Code = Literal[
    "INVALID_JSON",
    "UNKNOWN_TYPE",
    "VALIDATION_ERROR",
    "EXECUTION_ERROR",
    "CAPACITY_REACHED",
    "FACTORY_ERROR",
    "SESSION_ERROR",
    "UNAUTHORIZED",
]
STATUS: Mapping[Code, int] = {
    "INVALID_JSON": 400,
    "UNKNOWN_TYPE": 400,
    "VALIDATION_ERROR": 422,
    "EXECUTION_ERROR": 500,
    "CAPACITY_REACHED": 503,
    "FACTORY_ERROR": 500,
    "SESSION_ERROR": 404,
    "UNAUTHORIZED": 401,
}


class ServiceError(TurnwrightError):
    """A request that is refused, or an episode that broke."""

    def __init__(self, code: Code, message: str) -> None:
        """Keep the code and what to say."""
        super().__init__(message)
        self.code: Code = code
        """Typed, as OpenEnv's clients know them; UNAUTHORIZED is ours."""

    @property
    def status(self) -> int:
        """HTTP status of the answer."""
        return STATUS[self.code]
