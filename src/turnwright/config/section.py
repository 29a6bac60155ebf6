"""What every section of a run.toml has in common: frozen, strict, and no unknown keys."""

from types import NoneType
from typing import Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Section(BaseModel):
    """Base of all sections.

    TOML has no null, so the word "none" unsets a field that may be unset: ``schedule.max_epochs=none``.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _read_none(cls, value: Any, info: ValidationInfo) -> Any:
        if value != "none" or info.field_name is None:
            return value
        return None if NoneType in get_args(cls.model_fields[info.field_name].annotation) else value
