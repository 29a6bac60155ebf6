"""TRL's side of bench/end_to_end.py: GRPO with its environment interface on the returns desk, in its own environment.

Tasks, tools and reward are ours, imported from src/; so are chat template and tokenizer, which the policy brings along,
so that it reads the same ids on both sides. Everything else is TRL's: playing episodes, tool loop, generation, loss,
advantages, optimizer. It differs from ours where TRL leaves no choice: a call that is not JSON ends the episode, a call
of an unknown tool or with other arguments is answered in TRL's words, and groups whose rewards are all equal are
computed like any other.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback, TrainerControl, TrainerState
from trl import GRPOConfig, GRPOTrainer
from trl.chat_template_utils import qwen3_template

from datasets import Dataset
from turnwright.core.episode import Episode, EpisodeKey, Turn
from turnwright.core.message import Message, ToolCall
from turnwright.core.task import Task
from turnwright.environments.base import read_reward
from turnwright.environments.gallery.returns_desk.environment import ReturnsDesk

DESK = ReturnsDesk()
TASKS = {task.id: task for task in DESK.tasks("train")}


class TrlDesk:
    """The returns desk as TRL wants an environment: ``reset``, and public methods that are the tools."""

    task: Task

    def reset(self, task_id: str, **_: Any) -> None:
        """Begin an episode."""
        self.task = TASKS[task_id]
        self._desk = DESK.for_episode()
        self._desk.open(self.task, 0)

    async def get_order(self, order: str) -> str:
        """Look up one order.

        Args:
            order: Which one.
        """
        return await self._call("get_order", order=order)

    async def get_customer(self, customer: str) -> str:
        """Look up one customer.

        Args:
            customer: Which one.
        """
        return await self._call("get_customer", customer=customer)

    async def get_item(self, item: str) -> str:
        """Look up one item.

        Args:
            item: Which one.
        """
        return await self._call("get_item", item=item)

    async def _call(self, name: str, **arguments: Any) -> str:
        call = ToolCall(id="call", name=name, arguments=json.dumps(arguments))
        return (await self._desk.call_tool(call)).message.content


class Watched(TrainerCallback):
    """Tells of every step, saves the policy now and then, and ends the training in time. Saving is not in the time."""

    def __init__(self, job: dict[str, Any], replies: TextIO) -> None:
        """Take the job and where to tell."""
        self.job, self.replies = job, replies
        self.trainer: GRPOTrainer
        self.rewards: list[float] = []
        """Of the episodes played last."""
        self.started = 0.0
        self.saving = 0.0

    def tell(self, **said: Any) -> None:
        """Write one line."""
        print(json.dumps(said), file=self.replies, flush=True)

    def reward(self, completions: list[list[dict[str, Any]]], environments: list[TrlDesk], **_: Any) -> list[float]:
        """Grade finished episodes by the environment's reward."""
        self.rewards = [
            read_reward(DESK.reward(_episode(environment.task, messages)), num_turns=1).value
            for environment, messages in zip(environments, completions, strict=True)
        ]
        return self.rewards

    def on_train_begin(self, args: GRPOConfig, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def on_step_end(self, args: GRPOConfig, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Look at what the optimizer step ended."""
        step, rest = divmod(state.global_step, self.job["updates_per_step"])
        seconds = time.perf_counter() - self.started - self.saving
        if rest:
            return
        self.tell(step=step, seconds=seconds, reward=sum(self.rewards) / len(self.rewards))
        if step % self.job["save_every"] == 0:
            saving = time.perf_counter()
            folder = Path(self.job["output"]) / f"step_{step:06}"
            self.trainer.model.save_pretrained(folder)
            self.trainer.processing_class.save_pretrained(folder)
            self.saving += time.perf_counter() - saving
        if step >= self.job["steps"] or seconds > self.job["limit_seconds"]:
            control.should_training_stop = True


def main() -> None:
    """Train to the end of the job."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", type=Path, help="JSON that bench/end_to_end.py writes")
    job = json.loads(parser.parse_args().job.read_text(encoding="utf-8"))
    # Standard output belongs to the replies; whatever TRL prints goes to the log.
    replies, sys.stdout = sys.stdout, sys.stderr
    torch.set_num_threads(job["threads"])
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    # Its calls are spelled as Qwen3 spells them.
    tokenizer.response_template = qwen3_template
    watched = Watched(job, replies)
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32),
        reward_funcs=watched.reward,
        args=_config(job),
        train_dataset=Dataset.from_list([{"prompt": _prompt(task), "task_id": task.id} for task in TASKS.values()]),
        processing_class=tokenizer,
        callbacks=[watched],
        environment_factory=TrlDesk,
    )
    watched.trainer = trainer
    # TRL lists tools by the alphabet; the policy has learned to read them in the order of the environment.
    order = list(DESK.tools())
    trainer._env_tools[None].sort(key=lambda tool: order.index(tool.__name__))
    task = next(iter(TASKS.values()))
    ids = tokenizer.apply_chat_template(
        _prompt(task),
        tools=trainer._env_tools[None],
        chat_template=trainer.chat_template,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=False,
    )
    watched.tell(task_id=task.id, prompt_token_ids=ids)
    trainer.train()
    watched.tell(finished=True)


def _config(job: dict[str, Any]) -> GRPOConfig:
    episodes, per_pass = job["episodes"], job["episodes_per_pass"]
    updates = job["updates_per_step"]
    return GRPOConfig(
        output_dir=job["output"],
        per_device_train_batch_size=per_pass,
        gradient_accumulation_steps=episodes // updates // per_pass,
        steps_per_generation=episodes // per_pass,
        num_generations=job["group_size"],
        max_completion_length=job["max_completion_tokens"],
        max_tool_calling_iterations=job["max_turns"] - 1,
        # A cap per reply, where TRL by itself has only one per episode.
        generation_kwargs={"max_new_tokens": job["max_reply_tokens"]},
        temperature=job["temperature"],
        top_k=0,
        loss_type="dapo",
        epsilon=0.2,
        beta=0.0,
        max_steps=job["schedule_steps"] * updates,
        warmup_steps=job["warmup_steps"] * updates,
        seed=job["seed"],
        gradient_checkpointing=False,
        use_cpu=True,
        bf16=False,
        report_to="none",
        save_strategy="no",
        logging_steps=updates,
        disable_tqdm=True,
        **job["optimizer"],
    )


def _prompt(task: Task) -> list[dict[str, str]]:
    desk = DESK.for_episode()
    desk.open(task, 0)
    return [{"role": message.role, "content": message.content} for message in desk.opening()]


def _episode(task: Task, messages: list[dict[str, Any]]) -> Episode:
    """Return a finished episode as far as the reward reads it: the replies."""
    replies = [
        Message(
            role="assistant",
            content=message["content"],
            tool_calls=tuple(_written(call["function"]) for call in message.get("tool_calls") or ()),
        )
        for message in messages
        if message["role"] == "assistant"
    ]
    turns = tuple(Turn(reply=reply) for reply in replies)
    return Episode(key=EpisodeKey(task_id=task.id, attempt=0), task=task, opening=(), turns=turns)


def _written(function: dict[str, Any]) -> ToolCall:
    return ToolCall(id="call", name=str(function["name"]), arguments=json.dumps(function["arguments"]))


if __name__ == "__main__":
    main()
