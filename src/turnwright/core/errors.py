"""Every exception Turnwright raises on purpose.

    TurnwrightError
    |-- ConfigError              a value in a run.toml, override or argument is wrong (exit code 2)
    |-- DatasetError             a task file has a broken row (exit code 2)
    |-- EnvironmentLoadError     an environment or scorer name does not resolve (exit code 2)
    |-- UnsupportedModelError    a model needs something our forward pass does not honour (exit code 2)
    |-- RunDirectoryError        a run directory is missing, in use or unreadable (exit code 2)
    |   `-- DiskError            its disk takes no more: the run stops (exit code 1)
    |-- AlignmentError           token ids, log-probabilities and masks disagree: a bug, never data
    |-- SamplerMismatchError     engine and learner disagree on log-probabilities: training would be wrong
    |-- TrainingError            an update is impossible (no signal, not finite): the run stops (exit code 1)
    |-- ContextOverflowError     a prompt does not fit the model's or the run's sequence limit
    |-- EngineStoppedError       a request reached an engine that is closed or full
    |-- PublicationError         a version of the weights did not reach an engine, which keeps those it has
    `-- ToolError                raised *by a tool* to answer the agent with an error; not a failure

Messages name the thing, the value, what was expected and the cure.
"""


class TurnwrightError(Exception):
    """Base of every error raised on purpose."""


class ConfigError(TurnwrightError, ValueError):
    """A configuration value is wrong, unknown or has no effect."""


class DatasetError(TurnwrightError, ValueError):
    """A task file has a broken row; the message names file and row."""


class EnvironmentLoadError(TurnwrightError, ValueError):
    """An environment or scorer name does not resolve to a class or folder."""


class UnsupportedModelError(TurnwrightError, ValueError):
    """The model needs attention or output features our forward pass does not honour."""


class RunDirectoryError(TurnwrightError):
    """A run directory is missing, already exists, or is in use by another process."""


class DiskError(RunDirectoryError):
    """The disk of a run directory is full, over quota or broken."""


class AlignmentError(TurnwrightError):
    """Token ids, log-probabilities, masks or versions of one attempt disagree."""


class SamplerMismatchError(TurnwrightError):
    """Engine and learner give different log-probabilities to the same tokens."""


class TrainingError(TurnwrightError):
    """An optimizer update is impossible or not finite."""


class StalenessError(TurnwrightError):
    """A group would be started or trained against the bound on staleness."""


class ContextOverflowError(TurnwrightError):
    """A prompt leaves no room for a reply within the sequence limit."""


class EngineStoppedError(TurnwrightError):
    """The engine is closed, or its bounded queue is full."""


class PublicationError(TurnwrightError):
    """A published version of the weights is missing, damaged or of another model."""


class ToolError(TurnwrightError):
    """Raised by a tool: the text goes back to the agent as the tool's answer, marked as an error."""
