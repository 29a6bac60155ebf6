"""Tokens: what is accepted, what is refused and why, and 1,000 forgeries."""

import base64
import hmac
import json
import logging
import random
from collections.abc import Callable, Mapping

import pytest

from turnwright.core.errors import ConfigError
from turnwright.gateway.calls import Caller
from turnwright.gateway.credentials import Credentials, Identity, new_trajectory_id
from turnwright.gateway.refusals import Refusal

JOB = "arn:aws:sagemaker:local:000000000000:job/AgentRFT/demo"
SECRET = b"sixteen bytes or more"
NOW = 1_800_000_000.0


def make(
    *,
    job_arn: str = JOB,
    secret: bytes | None = SECRET,
    now: float = NOW,
    accept_unscoped: bool = False,
    require_scoped: bool = False,
) -> Credentials:
    return Credentials(
        job_arn=job_arn,
        secret=secret,
        accept_unscoped=accept_unscoped,
        require_scoped=require_scoped,
        expires_in=100,
        clock=lambda: now,
    )


def caller(headers: Mapping[str, str], *, is_loopback: bool = True) -> Caller:
    return Caller(method="POST", path="/v1/chat/completions", headers=headers, is_loopback=is_loopback)


def bearing(token: str) -> Caller:
    return caller({"authorization": f"Bearer {token}"})


def refusal(credentials: Credentials, who: Caller) -> str:
    with pytest.raises(Refusal) as raised:
        credentials.identify(who)
    assert raised.value.code == "access_denied"
    message = str(raised.value)
    environment = credentials.aws_environment("http://127.0.0.1:1")
    assert SECRET.decode() not in message
    assert environment["AWS_SECRET_ACCESS_KEY"] not in message
    return message


def encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def claims_of(token: str) -> dict[str, object]:
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer {token}"},
        {"authorization": "bearer {token}"},
        {"x-api-key": "{token}"},
        {"x-amz-security-token": "{token}"},
        {"authorization": "Bearer dummy", "x-api-key": "{token}"},
    ],
)
def test_a_token_travels_in_every_header_that_a_client_has_for_it(headers: dict[str, str]) -> None:
    credentials = make()
    token = credentials.mint("t-1", ("sample",))
    who = caller({name: value.format(token=token) for name, value in headers.items()}, is_loopback=False)
    assert credentials.identify(who) == Identity(
        trajectory_id="t-1", scopes=frozenset({"sample"}), job_arn=JOB, kind="token"
    )


def test_a_token_says_job_trajectory_scopes_and_expiry_in_one_spelling() -> None:
    credentials = make()
    token = credentials.mint("t-1", ("sample", "reward", "sample"))
    assert token == credentials.mint("t-1", ("reward", "sample"))
    assert claims_of(token) == {
        "expires": int(NOW) + 100,
        "job": JOB,
        "scopes": ["reward", "sample"],
        "trajectory": "t-1",
    }


def test_the_same_secret_keeps_tokens_and_key_pair_valid_over_a_restart() -> None:
    token = make().mint("t-1", ("sample",))
    assert make(now=NOW + 99).identify(bearing(token)).trajectory_id == "t-1"
    assert make().aws_environment("http://h") == make().aws_environment("http://h")
    assert make(secret=None).aws_environment("http://h") != make(secret=None).aws_environment("http://h")


def test_each_refusal_says_what_was_wrong() -> None:
    credentials = make()
    token = credentials.mint("t-1", ("sample",))
    assert "expired: the token ended 1 s ago" in refusal(make(now=NOW + 101), bearing(token))
    assert "expired" in refusal(make(now=NOW + 100), bearing(token))
    assert "other job: the token is bound to" in refusal(make(job_arn=JOB + "-2"), bearing(token))
    assert "bad signature" in refusal(make(secret=b"another secret of a run"), bearing(token))
    assert "malformed token" in refusal(credentials, bearing("tw1.abc"))
    assert "malformed token" in refusal(credentials, bearing(token.rpartition(".")[0]))
    assert "no credential of this run" in refusal(credentials, caller({}))
    assert "no credential of this run" in refusal(credentials, bearing("sk-dummy"))


def test_scope_and_trajectory_are_required() -> None:
    credentials = make()
    who = credentials.identify(bearing(credentials.mint("t-1", ("sample",))))
    who.require("sample", "t-1")
    who.require("sample")
    with pytest.raises(Refusal, match="scope missing: this call needs 'reward' and the credential has sample"):
        who.require("reward", "t-1")
    with pytest.raises(Refusal, match="other trajectory: the token is bound to 't-1' and the call is about 't-2'"):
        who.require("sample", "t-2")
    control = credentials.identify(bearing(credentials.mint(None, ("control",))))
    control.require("control", "t-2")
    with pytest.raises(Refusal, match="scope missing"):
        control.require("reward", "t-2")


def test_strangers_come_in_on_loopback_and_only_where_the_run_allows_it() -> None:
    open_house = make(accept_unscoped=True)
    for headers in ({}, {"authorization": "Bearer sk-dummy"}, {"authorization": "Basic eDp5"}, {"x-api-key": "x"}):
        assert open_house.identify(caller(headers)) == Identity(
            trajectory_id=None, scopes=frozenset({"sample", "reward"}), job_arn=None, kind="unscoped"
        )
        assert "same machine only" in refusal(open_house, caller(headers, is_loopback=False))


def test_a_token_of_ours_that_does_not_verify_is_never_let_in_as_a_strangers() -> None:
    open_house = make(accept_unscoped=True)
    token = open_house.mint("t-1", ("sample",))
    assert "bad signature" in refusal(open_house, bearing(token[:-1]))
    assert "expired" in refusal(make(accept_unscoped=True, now=NOW + 1000), caller({"x-api-key": token}))
    good = {"authorization": f"Bearer {token}", "x-api-key": token[:-1]}
    assert "bad signature" in refusal(open_house, caller(good))


def test_of_several_credentials_the_strictest_counts() -> None:
    credentials = make(accept_unscoped=True)
    wide, narrow = credentials.mint(None, ("sample", "reward")), credentials.mint("t-1", ("sample",))
    bound = credentials.mint("t-1", ("sample", "reward"))
    for first, second in ((wide, narrow), (narrow, wide), (narrow, bound), (bound, narrow)):
        who = caller({"authorization": f"Bearer {first}", "x-api-key": second})
        assert credentials.identify(who).trajectory_id == "t-1"
        assert credentials.identify(who).scopes == {"sample"}


def test_tokens_of_two_trajectories_in_one_call_are_refused() -> None:
    credentials = make()
    tokens = [credentials.mint(f"t-{number}", ("sample",)) for number in (1, 2)]
    message = refusal(credentials, caller({"authorization": f"Bearer {tokens[0]}", "x-api-key": tokens[1]}))
    assert "tokens of 2 trajectories" in message


def test_what_cannot_be_minted_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="expected at least 16"):
        make(secret=b"short")
    with pytest.raises(ConfigError, match="both true"):
        make(accept_unscoped=True, require_scoped=True)
    with pytest.raises(ConfigError, match=r"scopes = \[\]"):
        make().mint("t-1", ())
    with pytest.raises(ConfigError, match="admin"):
        make().mint("t-1", ("admin",))  # pyright: ignore[reportArgumentType]


def test_ids_are_unlike_each_other_and_never_look_like_a_missing_page() -> None:
    names = {new_trajectory_id() for _ in range(20_000)}
    assert len(names) == 20_000
    assert not any("404" in name for name in names)


def test_nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    credentials = make()
    token = credentials.mint("t-1", ("sample",))
    with caplog.at_level(logging.DEBUG):
        credentials.identify(bearing(token))
        refusal(credentials, bearing(token[:-1]))
    assert token not in caplog.text


def _flip_a_bit(token: str, draw: random.Random) -> str:
    at, bit = draw.randrange(len(token)), 1 << draw.randrange(7)
    return token[:at] + chr(ord(token[at]) ^ bit) + token[at + 1 :]


def _truncate(token: str, draw: random.Random) -> str:
    return token[: draw.randrange(len(token))]


def _lengthen(token: str, draw: random.Random) -> str:
    return token + draw.choice(["=", "A", ".", ".x", "\u00e9"])


def _rewrite(token: str, draw: random.Random) -> str:
    """Change one claim and keep the signature."""
    changed = draw.choice(
        [
            {"trajectory": f"t-{draw.randrange(100)}"},
            {"trajectory": None},
            {"job": JOB + "x"},
            {"expires": int(NOW) + draw.randrange(101, 10**6)},
            {"scopes": ["control", "reward", "sample"]},
            {"scopes": ["reward"]},
            {"admin": True},
        ]
    )
    claims = {**claims_of(token), **changed}
    payload = encode(json.dumps(claims, sort_keys=True, separators=(",", ":")).encode())
    return f"tw1.{payload}.{token.split('.')[2]}"


def _respell(token: str, draw: random.Random) -> str:
    """Say the same in other JSON."""
    claims = claims_of(token)
    payload = encode(json.dumps(claims, indent=draw.randrange(1, 5)).encode())
    return f"tw1.{payload}.{token.split('.')[2]}"


def _swap_signature(token: str, draw: random.Random) -> str:
    other = make().mint(f"t-other-{draw.randrange(1000)}", ("sample",))
    return ".".join((*token.split(".")[:2], other.split(".")[2]))


def _guess_key(token: str, draw: random.Random) -> str:
    signed = token.rpartition(".")[0]
    key = draw.choice([b"", SECRET, b"secret", draw.randbytes(32), b"token"])
    return f"{signed}.{encode(hmac.digest(key, signed.encode(), draw.choice(['sha256', 'sha1', 'md5'])))}"


def _choose_algorithm(token: str, draw: random.Random) -> str:
    """Pretend to be a JSON web token, or ask for no signature at all."""
    header = encode(json.dumps({"alg": draw.choice(["none", "None", "HS256", "RS256"]), "typ": "JWT"}).encode())
    payload = token.split(".")[1]
    return draw.choice([f"{header}.{payload}.", f"tw1.{payload}.", f"tw1.{payload}.none", f"tw1.{header}.{payload}."])


def _other_version(token: str, draw: random.Random) -> str:
    return draw.choice(["tw0.", "tw2.", "TW1.", "tw1..", "tw1 ", ""]) + token.removeprefix("tw1.")


def _expired(token: str, draw: random.Random) -> str:
    return make(now=NOW - 100 - draw.randrange(1000)).mint("t-1", ("sample",))


def _other_job(token: str, draw: random.Random) -> str:
    return make(job_arn=f"{JOB}-{draw.randrange(1000)}").mint("t-1", ("sample",))


def _other_run(token: str, draw: random.Random) -> str:
    return make(secret=draw.randbytes(32)).mint("t-1", ("sample",))


def _other_trajectory(token: str, draw: random.Random) -> str:
    return make().mint(f"t-1{draw.randrange(1000)}", ("sample", "reward"))


def _wrong_scope(token: str, draw: random.Random) -> str:
    return make().mint("t-1", draw.choice([("sample",), ("control",), ("sample", "control")]))


FORGERS: tuple[Callable[[str, random.Random], str], ...] = (
    _flip_a_bit,
    _truncate,
    _lengthen,
    _rewrite,
    _respell,
    _swap_signature,
    _guess_key,
    _choose_algorithm,
    _other_version,
    _expired,
    _other_job,
    _other_run,
    _other_trajectory,
    _wrong_scope,
)


def test_1000_forged_tokens_are_all_refused() -> None:
    """Each tries to reward t-1, starting from a real token that may do it."""
    draw = random.Random(7)
    credentials = make()
    real = credentials.mint("t-1", ("sample", "reward"))
    credentials.identify(bearing(real)).require("reward", "t-1")
    for number in range(1000):
        forger = FORGERS[number % len(FORGERS)]
        forged = forger(real, draw)
        header = draw.choice(["x-api-key", "x-amz-security-token", "authorization"])
        who = caller({header: f"Bearer {forged}" if header == "authorization" else forged})
        with pytest.raises(Refusal) as raised:
            credentials.identify(who).require("reward", "t-1")
        assert raised.value.code == "access_denied", forger.__name__
