"""Every exception ``turnwright.client`` raises on purpose; none of them is ever swallowed here.

ClientError
|-- RolloutRequestError    the payload is not a rollout request: a key is missing or of the wrong kind
|-- NoRolloutError         no rollout is current in this thread or task
`-- FeedbackError          the gateway refused a report, or could not be reached
"""


class ClientError(Exception):
    """Base of every error raised on purpose."""


class RolloutRequestError(ClientError, ValueError):
    """A payload is not a rollout request; the message names the key."""


class NoRolloutError(ClientError, LookupError):
    """Code asked for the current rollout where there is none."""


class FeedbackError(ClientError):
    """A call to the gateway was refused or got no answer."""

    def __init__(self, call: str, *, status: int | None, message: str, attempts: int = 1) -> None:
        """Say which call failed and why.

        Args:
            call: Method, path and trajectory, such as ``POST /update-reward (trajectory t-5f2c)``.
            status: HTTP status; None when no answer came.
            message: The gateway's own words, or the connection's error.
            attempts: How often the call was made.
        """
        answer = "got no answer" if status is None else f"was answered {status}"
        times = "" if attempts == 1 else f" after {attempts} attempts"
        super().__init__(f"{call} {answer}{times}: {message}")
        self.status = status
        self.message = message
        self.attempts = attempts
