from dataclasses import replace

import pytest
from hypothesis import given

from rundir.attempts import make_attempt, make_group
from rundir.strategies import attempts
from turnwright.core.errors import AlignmentError, DatasetError
from turnwright.core.group import Attempt
from turnwright.core.trajectory import SampledTurn, Trajectory, hash_ids
from turnwright.rundir.groups import decode_attempt, encode_attempt, keys_of, newest_version


@pytest.mark.slow
@given(attempts())
def test_an_attempt_survives_its_line_to_the_bit(attempt: Attempt) -> None:
    line = encode_attempt(attempt)
    assert b"\n" not in line
    assert decode_attempt(line) == attempt


def conversation(num_turns: int, *, changed: int | None = None) -> Attempt:
    """Turns of one reply of 50 ids, each after all that came before; one may begin with other ids instead."""
    prompt, turns = tuple(range(50)), list[SampledTurn]()
    for index in range(num_turns):
        if index == changed:
            prompt = (777, *prompt[1:])
        sampled = tuple(range(1000 * index, 1000 * index + 50))
        turns.append(
            SampledTurn(
                index=index,
                parent=index - 1 if index else None,
                kind="clean" if index else "root",
                prompt_token_ids=prompt,
                sampled_token_ids=sampled,
                logprobs=(-0.5,) * 50,
                policy_versions=(index,) * 50,
                temperature=1.0,
                top_p=1.0,
                prefix_hash=hash_ids(prompt),
            )
        )
        prompt += (*sampled, 9)
    plain = make_attempt()
    return replace(plain, trajectory=Trajectory(key=plain.episode.key, turns=tuple(turns)))


def test_a_line_grows_with_the_conversation_and_not_with_its_square() -> None:
    ten, twenty = (len(encode_attempt(conversation(num_turns))) for num_turns in (10, 20))
    assert twenty < 2.2 * ten


def test_a_prompt_that_does_not_go_on_from_its_parent_is_written_whole() -> None:
    attempt = conversation(4, changed=2)
    assert decode_attempt(encode_attempt(attempt)) == attempt
    assert b'"inherited":[0,100,0,202]' in encode_attempt(attempt)


def test_a_line_whose_ids_do_not_fit_together_is_refused() -> None:
    line = encode_attempt(conversation(2))
    with pytest.raises(AlignmentError, match=r"got 100 ids, expected 99 \(episode 't1#0', turn 1\)"):
        decode_attempt(line.replace(b'"inherited":[0,100]', b'"inherited":[0,99]'))
    with pytest.raises(AlignmentError, match="got 1, expected 2"):
        decode_attempt(line.replace(b'"inherited":[0,100]', b'"inherited":[0]'))


def test_data_that_json_cannot_say_is_named() -> None:
    attempt = make_attempt("a", 3)
    episode = replace(attempt.episode, task=replace(attempt.episode.task, data={"rule": object()}))
    with pytest.raises(DatasetError, match="episode 'a#3' cannot be written"):
        encode_attempt(replace(attempt, episode=episode))


def test_the_attempts_of_a_group_are_numbered_over_the_passes() -> None:
    assert [str(key) for key in keys_of(make_group(5, "a", epoch=2), 3)] == ["a#6", "a#7", "a#8"]


def test_the_newest_version_is_that_of_any_token() -> None:
    assert newest_version([make_attempt(versions=(3, 4)), make_attempt(versions=(2, 2))]) == 4
    assert newest_version([make_attempt(calls=0)]) == -1
