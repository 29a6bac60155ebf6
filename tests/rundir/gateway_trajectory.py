"""The records of one small trajectory, written by hand: look an order up, then answer."""

from turnwright.core.episode import EpisodeKey
from turnwright.core.message import Message, ToolCall, ToolSpec
from turnwright.core.task import Task
from turnwright.core.trajectory import hash_ids
from turnwright.rundir.gateway_records import Opened, RewardGiven, Sealed, SealStatus, TurnRecorded

ID = "t-5f2c"
KEY = EpisodeKey(task_id="t1", attempt=2)
TASK = Task(id="t1", prompt="order: O3", data={"gold": "refund"})
SYSTEM = Message(role="system", content="Decide.")
QUESTION = Message(role="user", content="order: O3")
TOOL = ToolSpec(name="get_order", description="Look it up.", parameters={"type": "object"})
LOOKS_UP = Message(
    role="assistant", tool_calls=(ToolCall(id="call_0_0", name="get_order", arguments='{"order": "O3"}'),)
)
RESULT = Message(role="tool", content='{"item": "K1"}', tool_call_id="call_0_0", name="get_order")
ANSWERS = Message(role="assistant", content="refund", reasoning="K1 can go back")

OPENED = Opened(trajectory_id=ID, key=KEY, task=TASK, job_arn="arn:aws:sagemaker:local:000000000000:job/x/y", time=1.0)
FIRST = TurnRecorded(
    trajectory_id=ID,
    index=0,
    parent=None,
    turn_kind="root",
    new_prompt_token_ids=(5, 9),
    sampled_token_ids=(7, 2),
    logprobs=(-0.1, -0.7),
    policy_versions=(3, 4),
    temperature=1.0,
    top_p=0.9,
    kept_logmass=(-0.01, -0.02),
    prefix_hash=hash_ids((5, 9)),
    new_messages=(SYSTEM, QUESTION),
    tools=(TOOL,),
    reply=LOOKS_UP,
    finish_reason="stop",
    max_tokens=16,
    stop=("END",),
    seed=11,
    created=2.0,
    latency_ms=3.5,
)
SECOND = TurnRecorded(
    trajectory_id=ID,
    index=1,
    parent=0,
    turn_kind="clean",
    new_prompt_token_ids=(4,),
    sampled_token_ids=(8,),
    logprobs=(-0.25,),
    policy_versions=(4,),
    temperature=1.0,
    top_p=1.0,
    prefix_hash=hash_ids((5, 9, 7, 2, 4)),
    new_messages=(RESULT,),
    reply=ANSWERS,
    finish_reason="length",
    max_tokens=16,
    created=4.0,
)


def sealed(status: SealStatus = "ready", **values: object) -> Sealed:
    return Sealed(trajectory_id=ID, status=status, time=5.0, **values)  # pyright: ignore[reportArgumentType]


def reward(*values: float) -> RewardGiven:
    return RewardGiven(trajectory_id=ID, values=values, components={"exact": 1.0}, time=6.0)
