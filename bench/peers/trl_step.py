"""TRL's side of bench/train.py: its own training loop on rows that it is given. Runs in the peer's environment.

Nothing of TRL's is rewritten. ``GRPOTrainer.train()`` runs as it is - its forward pass with its fused output head, the
loss, metrics, backward pass, clipping and AdamW - and only generation is replaced by the given rows. Before each step
of the optimizer it waits for a command. Not inside the measured time: its log line, and the loop's work between steps.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback, TrainerControl, TrainerState
from trl import GRPOConfig, GRPOTrainer

from datasets import Dataset


class GivenRows(GRPOTrainer):
    """GRPO on rows that somebody else sampled."""

    def __init__(self, *arguments: Any, rows: list[dict[str, Any]], **options: Any) -> None:
        """Keep the rows as the tensors that generation would have made."""
        super().__init__(*arguments, **options)
        self.given = _tensors(rows, pad=self.processing_class.pad_token_id)
        self.loss = 0.0
        """Sum over the passes since somebody set it to 0."""

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        return dict(self.given)

    def compute_loss(self, *arguments: Any, **options: Any) -> torch.Tensor:
        """Compute the loss as TRL does, and add it up."""
        loss = super().compute_loss(*arguments, **options)
        self.loss += loss.item()
        return loss


class Commanded(TrainerCallback):
    """Waits for a command before each step and says afterwards how long the step took."""

    def __init__(self, commands: TextIO, replies: TextIO) -> None:
        """Take where commands come from and where replies go."""
        self.commands, self.replies = commands, replies
        self.trainer: GivenRows
        self.gradient: Path | None = None
        self.started = 0.0

    def on_step_begin(self, args: GRPOConfig, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Wait."""
        line = self.commands.readline()
        if not line:
            raise SystemExit
        command = json.loads(line)
        self.gradient = Path(command["gradient"]) if "gradient" in command else None
        self.trainer.loss = 0.0
        self.started = time.perf_counter()

    def on_pre_optimizer_step(self, args: GRPOConfig, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Write the gradient where it was asked for."""
        if self.gradient is not None:
            named = self.trainer.model.named_parameters()
            save_file({name: parameter.grad.clone() for name, parameter in named}, self.gradient)

    def on_step_end(self, args: GRPOConfig, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Reply."""
        seconds = time.perf_counter() - self.started
        print(json.dumps({"seconds": seconds, "loss": self.trainer.loss}), file=self.replies, flush=True)


def main() -> None:
    """Train until there are no more commands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", type=Path, help="JSON: model, rows, batch_size, threads, optimizer")
    job = json.loads(parser.parse_args().job.read_text(encoding="utf-8"))
    # Standard output belongs to the replies; whatever TRL prints goes to the log.
    replies, sys.stdout = sys.stdout, sys.stderr
    torch.set_num_threads(job["threads"])
    rows = job["rows"]
    config = GRPOConfig(
        output_dir=job["output"],
        per_device_train_batch_size=job["batch_size"],
        gradient_accumulation_steps=len(rows) // job["batch_size"],
        num_generations=len(rows),
        max_completion_length=max(len(row["completion"]) for row in rows),
        loss_type="dapo",
        beta=0.0,
        max_steps=1_000_000,
        lr_scheduler_type="constant",
        gradient_checkpointing=False,
        use_cpu=True,
        bf16=False,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        **job["optimizer"],
    )
    commanded = Commanded(sys.stdin, replies)
    trainer = GivenRows(
        model=AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32),
        reward_funcs=_never,
        args=config,
        train_dataset=Dataset.from_dict({"prompt": ["given"] * len(rows)}),
        processing_class=AutoTokenizer.from_pretrained(job["model"]),
        callbacks=[commanded],
        rows=rows,
    )
    commanded.trainer = trainer
    trainer.train()


def _tensors(rows: list[dict[str, Any]], *, pad: int) -> dict[str, torch.Tensor]:
    """Return what ``_generate_and_score_completions`` does: prompts padded on the left, completions on the right."""
    prompts = [torch.tensor(row["prompt"]) for row in rows]
    completions = [torch.tensor(row["completion"]) for row in rows]
    masks = [torch.tensor(row["mask"]) for row in rows]
    old = [torch.tensor(row["old_logprobs"]) for row in rows]
    left, right = {"batch_first": True, "padding_side": "left"}, {"batch_first": True}
    sequence = torch.nn.utils.rnn.pad_sequence
    return {
        "prompt_ids": sequence(prompts, padding_value=pad, **left),
        "prompt_mask": sequence([torch.ones_like(ids) for ids in prompts], **left),
        "completion_ids": sequence(completions, padding_value=pad, **right),
        "completion_mask": sequence([torch.ones_like(ids) for ids in completions], **right),
        "tool_mask": sequence(masks, padding_value=1, **right),
        "old_per_token_logps": sequence(old, **right),
        "advantages": torch.tensor([row["advantage"] for row in rows]),
        "num_items_in_batch": sum(mask.sum() for mask in masks),
    }


def _never(**_: Any) -> list[float]:
    raise AssertionError("rows that are given have their advantages")


if __name__ == "__main__":
    main()
