"""Hypothesis strategies for whole attempts, as an episode in messages and the same in tokens."""

from hypothesis import strategies as st

from turnwright.core.episode import Episode, EpisodeKey, ToolOutcome, Turn
from turnwright.core.group import Attempt
from turnwright.core.message import Message, ToolCall, ToolSpec
from turnwright.core.outcome import Failed, Rewarded, Truncated
from turnwright.core.score import Score
from turnwright.core.task import Task
from turnwright.core.trajectory import SampledTurn, Trajectory, hash_ids

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
number = st.floats(allow_nan=False)
ids = st.lists(st.integers(0, 2**31 - 1), max_size=6).map(tuple)
json_value = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
json_object = st.dictionaries(text, json_value, max_size=3)
keys = st.builds(EpisodeKey, task_id=text, attempt=st.integers(0, 9))
calls = st.builds(ToolCall, id=text, name=text, arguments=text)
messages = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    content=text,
    reasoning=text,
    tool_calls=st.lists(calls, max_size=2).map(tuple),
    tool_call_id=st.none() | text,
    name=st.none() | text,
)
components = st.dictionaries(text, number, max_size=3)
values = st.lists(number, max_size=3).map(tuple)
outcomes = st.one_of(
    st.builds(Rewarded, value=number, turn_values=values, components=components),
    st.builds(
        Truncated,
        value=number,
        cause=st.sampled_from(["token_cap", "max_turns", "sequence", "time"]),
        turn_values=values,
        components=components,
    ),
    st.builds(Failed, cause=text, detail=text),
)
tasks = st.builds(
    Task,
    id=text,
    prompt=text,
    data=json_object,
    split=st.sampled_from(["train", "validation", "test"]),
    cluster=st.none() | text,
)
turns = st.builds(
    Turn,
    reply=messages,
    responses=st.lists(messages, max_size=2).map(tuple),
    finish_reason=st.sampled_from(["stop", "length"]),
    tools=st.lists(
        st.builds(ToolOutcome, name=text, error=st.booleans(), malformed=st.booleans(), latency_ms=number), max_size=2
    ).map(tuple),
    num_prompt_tokens=st.integers(0, 9999),
    num_sampled_tokens=st.integers(0, 9999),
    mean_logprob=number,
    policy_version=st.integers(0, 9999),
    latency_ms=number,
)
scores = st.builds(Score, success=st.booleans(), fields=st.dictionaries(text, st.booleans()), completed=st.booleans())


@st.composite
def sampled_turns(draw: st.DrawFn, index: int) -> SampledTurn:
    prompt, sampled = draw(ids), draw(ids)
    stream = st.lists(number, min_size=len(sampled), max_size=len(sampled)).map(tuple)
    return SampledTurn(
        index=index,
        parent=draw(st.none() | st.integers(0, 9)),
        kind=draw(st.sampled_from(["root", "clean", "realign", "fork"])),
        cause=draw(text),
        prompt_token_ids=prompt,
        sampled_token_ids=sampled,
        logprobs=draw(stream),
        policy_versions=tuple(draw(st.integers(0, 99)) for _ in sampled),
        temperature=draw(number),
        top_p=draw(number),
        kept_logmass=draw(st.just(()) | stream),
        prefix_hash=hash_ids(prompt),
        abandoned=draw(st.booleans()),
    )


@st.composite
def trajectories(draw: st.DrawFn, key: EpisodeKey | None = None, min_turns: int = 0) -> Trajectory:
    count = draw(st.integers(min_turns, 3))
    key = key or draw(keys)
    return Trajectory(key=key, turns=tuple(draw(sampled_turns(index)) for index in range(count)))


@st.composite
def episodes(draw: st.DrawFn, key: EpisodeKey | None = None) -> Episode:
    return Episode(
        key=key or draw(keys),
        task=draw(tasks),
        opening=draw(st.lists(messages, max_size=2).map(tuple)),
        tools=draw(
            st.lists(st.builds(ToolSpec, name=text, description=text, parameters=json_object), max_size=2).map(tuple)
        ),
        turns=draw(st.lists(turns, max_size=2).map(tuple)),
        outcome=draw(outcomes),
        score=draw(st.none() | scores),
        metadata=draw(st.dictionaries(text, text, max_size=2)),
    )


@st.composite
def attempts(draw: st.DrawFn, key: EpisodeKey | None = None) -> Attempt:
    key = key or draw(keys)
    return Attempt(episode=draw(episodes(key)), trajectory=draw(trajectories(key)))
