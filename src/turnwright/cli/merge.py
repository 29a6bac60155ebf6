"""``turnwright merge``: a checkpoint with an adapter as a whole model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    # For its name alone: it loads torch.
    from turnwright.models.load import Precision


def check_dtype(name: str) -> str:
    """Refuse a name that is no number format of weights."""
    if name not in ("float32", "bfloat16"):
        raise typer.BadParameter(f"{name!r} is no number format of weights: expected float32 or bfloat16")
    return name


def merge(
    checkpoint: Annotated[str, typer.Argument(metavar="CKPT", help="Checkpoint of a run with model.lora_rank > 0.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the whole model; must be empty.")],
    dtype: Annotated[
        str, typer.Option(help="float32, or bfloat16 at half the size.", callback=check_dtype)
    ] = "float32",
) -> None:
    """Add a checkpoint's adapter to its base model: a folder that anything serves which knows Hugging Face's format."""
    # Imported here: it loads torch.
    from turnwright.launch.merge import merge_checkpoint

    merge_checkpoint(checkpoint, out, dtype=cast("Precision", dtype))
    print(f"policy: {out}\nnext: turnwright serve {out}")
