"""What AWS's own clients sign, verified; and what an attacker makes of it, refused."""

import base64
import logging
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.credentials import Credentials as KeyPair

from turnwright.gateway.calls import Caller
from turnwright.gateway.credentials import Credentials, Identity
from turnwright.gateway.refusals import Refusal

JOB = "arn:aws:sagemaker:local:000000000000:job/AgentRFT/demo"
ENDPOINT = "http://127.0.0.1:8321"
BODY = b'{"messages": [{"role": "user", "content": "hi"}]}'
JOB_WIDE = Identity(trajectory_id=None, scopes=frozenset({"sample", "reward"}), job_arn=JOB, kind="aws")


class Clock:
    """The gateway's clock, a number of seconds ahead of the client's."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return datetime.now(UTC).timestamp() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def credentials(clock: Clock) -> Credentials:
    return Credentials(job_arn=JOB, secret=b"sixteen bytes or more", clock=clock)


@pytest.fixture
def keys(credentials: Credentials) -> KeyPair:
    environment = credentials.aws_environment(ENDPOINT)
    return KeyPair(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])


def as_caller(request: AWSPreparedRequest) -> Caller:
    """Return what a server sees of a request."""
    headers = {name.lower(): _text(value) for name, value in request.headers.items()}
    headers.setdefault("host", request.url.split("/")[2])
    body = request.body.encode() if isinstance(request.body, str) else request.body or b""
    path = "/" + request.url.split("/", 3)[3]
    return Caller(method=request.method, path=path, headers=headers, body=body)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


@pytest.fixture
def client(credentials: Credentials, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The real client, configured by the environment alone."""
    for name, value in credentials.aws_environment(ENDPOINT).items():
        monkeypatch.setenv(name, value)
    client = boto3.session.Session().client("sagemakerjobruntime")
    yield client
    client.close()


def sent_by(client: Any, verb: str, **arguments: Any) -> AWSPreparedRequest:
    """Return the request as the client would put it on the wire."""
    sent: list[AWSPreparedRequest] = []

    def catch(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        sent.append(request)
        return AWSResponse(request.url, 200, {}, _Empty())

    client.meta.events.register("before-send", catch)
    getattr(client, verb)(**arguments)
    client.meta.events.unregister("before-send", catch)
    return sent[0]


class _Empty:
    def stream(self, **_: Any) -> Iterator[bytes]:
        return iter(())


def sample_request(client: Any) -> AWSPreparedRequest:
    return sent_by(client, "sample", JobArn=JOB, TrajectoryId="t-1", Body=BODY)


def signed(keys: KeyPair, *, service: str = "sagemaker", region: str = "local", **parts: Any) -> Caller:
    """Sign a request with botocore, without a client."""
    parts = {"method": "POST", "url": f"{ENDPOINT}/sample", "data": BODY, **parts}
    request = AWSRequest(**parts)
    SigV4Auth(keys, service, region).add_auth(request)
    return as_caller(request.prepare())


def bearer_token(keys: KeyPair, region: str = "local", expires: int = 43200, **changes: Any) -> str:
    """Return what sagemaker-core's generate_token returns, made in the same way."""
    host = changes.pop("host", "sagemaker.amazonaws.com")
    parts = {
        "method": "POST",
        "url": f"https://{host}/",
        "headers": {"host": host},
        "params": {"Action": "CallWithBearerToken"},
        **changes,
    }
    request = AWSRequest(**parts)
    SigV4QueryAuth(keys, "sagemaker", region, expires=expires).add_auth(request)
    text = request.url.replace("https://", "") + "&Version=1"
    return "sagemaker-api-key-" + base64.b64encode(text.encode()).decode()


def bearing(token: str) -> Caller:
    return Caller(method="POST", path="/complete-rollout", headers={"authorization": f"Bearer {token}"})


def with_headers(caller: Caller, **changes: str | None) -> Caller:
    headers = {**caller.headers, **{name.replace("_", "-"): value for name, value in changes.items()}}
    return replace(caller, headers={name: value for name, value in headers.items() if value is not None})


def refusal(credentials: Credentials, caller: Caller) -> str:
    with pytest.raises(Refusal) as raised:
        credentials.identify(caller)
    assert raised.value.code == "access_denied"
    secret = credentials.aws_environment(ENDPOINT)["AWS_SECRET_ACCESS_KEY"]
    assert secret not in str(raised.value)
    return str(raised.value)


def test_the_environment_alone_leads_boto3_here_and_every_verb_verifies(client: Any, credentials: Credentials) -> None:
    assert client.meta.endpoint_url == ENDPOINT
    requests = [
        sample_request(client),
        sent_by(client, "complete_rollout", JobArn=JOB, TrajectoryId="t-1"),
        sent_by(client, "update_reward", JobArn=JOB, TrajectoryId="t-1", Rewards=[0.5]),
    ]
    assert [request.url for request in requests] == [
        f"{ENDPOINT}/{verb}" for verb in ("sample", "complete-rollout", "update-reward")
    ]
    for request in requests:
        assert request.url.startswith(ENDPOINT)
        assert credentials.identify(as_caller(request)) == JOB_WIDE


def test_a_signed_request_cannot_be_changed(client: Any, credentials: Credentials) -> None:
    caller = as_caller(sample_request(client))
    for changed in (
        replace(caller, body=caller.body.replace(b"hi", b"ho")),
        replace(caller, path="/update-reward"),
        replace(caller, path="/sample?x=1"),
        replace(caller, method="PUT"),
        with_headers(caller, x_amzn_sagemaker_trajectory_id="t-2"),
        with_headers(caller, host="elsewhere:8321"),
        with_headers(caller, authorization=caller.headers["authorization"].replace("/local/", "/us-west-2/")),
    ):
        assert "bad AWS signature" in refusal(credentials, changed)


@pytest.mark.parametrize(("ahead", "message"), [(290, ""), (320, "expired"), (-290, ""), (-320, "from the future")])
def test_a_signed_request_holds_for_five_minutes(keys, credentials, clock, ahead, message) -> None:
    caller = signed(keys)
    clock.ahead = ahead
    if message:
        assert message in refusal(credentials, caller)
    else:
        assert credentials.identify(caller) == JOB_WIDE


def test_any_region_but_only_our_service(keys: KeyPair, credentials: Credentials) -> None:
    assert credentials.identify(signed(keys, region="us-west-2")) == JOB_WIDE
    assert "malformed AWS signature" in refusal(credentials, signed(keys, service="s3"))


@pytest.mark.parametrize(
    "parts",
    [
        {"data": b""},
        {"url": f"{ENDPOINT}/t/t-1/v1/chat/completions?b=2&a=%20x"},
        {"url": f"{ENDPOINT}/t/caf%C3%A9/v1/models", "method": "GET", "data": b""},
        {"headers": {"Content-Type": "application/json", "X-Amz-Meta": "  two   spaces "}},
    ],
)
def test_paths_queries_and_headers_are_signed_as_they_were_sent(keys, credentials, parts) -> None:
    assert credentials.identify(signed(keys, **parts)) == JOB_WIDE


def test_what_must_be_covered_cannot_be_left_out(keys: KeyPair, credentials: Credentials) -> None:
    caller = signed(keys)
    late_identity = with_headers(caller, x_amzn_sagemaker_trajectory_id="t-2")
    assert "must name x-amzn-sagemaker-trajectory-id" in refusal(credentials, late_identity)
    authorization = caller.headers["authorization"].replace("host;x-amz-date", "host")
    assert "must name x-amz-date" in refusal(credentials, with_headers(caller, authorization=authorization))
    assert "X-Amz-Date" in refusal(credentials, with_headers(caller, x_amz_date=None))
    unhashed = signed(keys, headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
    assert "SHA-256 of the body" in refusal(credentials, unhashed)
    absent = caller.headers["authorization"].replace("host;", "content-type;host;")
    assert "names content-type" in refusal(credentials, with_headers(caller, authorization=absent))


@pytest.mark.parametrize(
    "date", ["20261399T000000Z", "20261121T000000", "Sat, 21 Nov 2026", "", "20261121T0000\u0660\u0660Z"]
)
def test_a_date_must_be_one(keys: KeyPair, credentials: Credentials, date: str) -> None:
    assert "malformed AWS signature: the X-Amz-Date header" in refusal(
        credentials, with_headers(signed(keys), x_amz_date=date)
    )


def test_the_key_pair_of_another_run_is_a_strangers(keys: KeyPair, clock: Clock) -> None:
    other = Credentials(job_arn=JOB, secret=b"another secret of a run", clock=clock)
    for caller in (signed(keys), bearing(bearer_token(keys))):
        assert "no credential of this run" in refusal(other, caller)
    open_house = Credentials(job_arn=JOB, secret=b"another secret of a run", clock=clock, accept_unscoped=True)
    stranger = open_house.identify(replace(signed(keys), is_loopback=True))
    assert (stranger.kind, stranger.job_arn) == ("unscoped", None)


def test_our_key_pair_with_a_bad_signature_is_never_let_in_as_a_strangers(keys: KeyPair, clock: Clock) -> None:
    open_house = Credentials(job_arn=JOB, secret=b"sixteen bytes or more", clock=clock, accept_unscoped=True)
    guessed = KeyPair(keys.access_key, "guessed")
    for caller in (signed(guessed), bearing(bearer_token(guessed))):
        assert "bad AWS signature" in refusal(open_house, replace(caller, is_loopback=True))


@pytest.mark.parametrize("region", ["local", "us-east-1"])
def test_the_presigned_bearer_of_sagemaker_core_verifies(keys, credentials, region) -> None:
    assert credentials.identify(bearing(bearer_token(keys, region))) == JOB_WIDE


def test_a_bearer_holds_as_long_as_it_says(keys: KeyPair, credentials: Credentials, clock: Clock) -> None:
    token = bearer_token(keys, expires=60)
    clock.ahead = 55
    assert credentials.identify(bearing(token)) == JOB_WIDE
    clock.ahead = 65
    assert "expired AWS signature" in refusal(credentials, bearing(token))
    clock.ahead = -320
    assert "from the future" in refusal(credentials, bearing(token))


@pytest.mark.parametrize("expires", [0, 43201, -1])
def test_a_bearer_of_more_than_twelve_hours_is_refused(keys, credentials, expires) -> None:
    assert "X-Amz-Expires" in refusal(credentials, bearing(bearer_token(keys, expires=expires)))


@pytest.mark.parametrize(
    "changes",
    [
        {"params": {"Action": "ListJobs"}},
        {"params": {}},
        {"headers": {"host": "sagemaker.amazonaws.com", "x-extra": "1"}},
    ],
)
def test_a_presigned_url_for_something_else_is_no_bearer(keys, credentials, changes) -> None:
    assert "malformed AWS signature: the bearer" in refusal(credentials, bearing(bearer_token(keys, **changes)))


def test_a_bearer_signed_for_another_verb_does_not_verify(keys: KeyPair, credentials: Credentials) -> None:
    assert "bad AWS signature" in refusal(credentials, bearing(bearer_token(keys, method="GET")))


def test_a_session_token_of_ours_binds_an_aws_client_to_its_trajectory(
    keys: KeyPair, credentials: Credentials, caplog: pytest.LogCaptureFixture
) -> None:
    token = credentials.mint("t-1", ("sample", "reward"))
    session = KeyPair("any-key-id", "any-secret", token)
    strict = Credentials(job_arn=JOB, secret=b"sixteen bytes or more", require_scoped=True)
    for caller in (signed(session), bearing(bearer_token(session))):
        for who in (credentials.identify(caller), strict.identify(caller)):
            assert (who.trajectory_id, who.kind) == ("t-1", "token")
    assert "AWS key pair" not in caplog.text
    changed = KeyPair(keys.access_key, keys.secret_key, token[:-2])
    for caller in (signed(changed), bearing(bearer_token(changed))):
        assert "bad signature: the token" in refusal(credentials, caller)


def test_unbound_keys_are_told_once_and_refused_where_tokens_are_required(
    keys: KeyPair, credentials: Credentials, caplog: pytest.LogCaptureFixture
) -> None:
    strict = Credentials(job_arn=JOB, secret=b"sixteen bytes or more", require_scoped=True)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            credentials.identify(signed(keys))
            credentials.identify(bearing(bearer_token(keys)))
            for caller in (signed(keys), bearing(bearer_token(keys))):
                assert "not bound to a trajectory" in refusal(strict, caller)
    assert [record.name for record in caplog.records] == ["turnwright.gateway.credentials"]


def test_a_token_of_ours_beside_a_signature_counts_more(keys: KeyPair, credentials: Credentials) -> None:
    token = credentials.mint("t-1", ("sample",))
    assert credentials.identify(with_headers(signed(keys), x_api_key=token)).trajectory_id == "t-1"


ALGORITHMS = ("AWS4-HMAC-SHA1", "AWS4-ECDSA-P256-SHA256", "AWS4-none", "AWS4-HMAC-SHA256-PAYLOAD")


def test_forged_signatures_are_all_refused(keys: KeyPair, credentials: Credentials) -> None:
    """Starts from real ones and flips a bit, cuts, repeats or swaps a part."""
    draw = random.Random(5)
    encoded = bearer_token(keys).removeprefix("sagemaker-api-key-")
    url = base64.b64decode(encoded).decode()
    caller = signed(keys)
    authorization = caller.headers["authorization"]
    for number in range(300):
        match number % 6:
            case 0:
                forged = bearing(_encoded(_flip(url, 0, url.index("&Version="), draw)))
            case 1:
                forged = bearing("sagemaker-api-key-" + encoded[: draw.randrange(len(encoded))])
            case 2:
                more = draw.choice(["X-Amz-Expires=43200", f"X-Amz-Signature={'0' * 64}", "Action=CallWithBearerToken"])
                forged = bearing(_encoded(f"{url}&{more}"))
            case 3:
                forged = with_headers(caller, authorization=_flip(authorization, 0, len(authorization), draw))
            case 4:
                forged = with_headers(caller, authorization=authorization[: draw.randrange(len(authorization))])
            case _:
                other = authorization.replace("AWS4-HMAC-SHA256", draw.choice(ALGORITHMS))
                forged = with_headers(caller, authorization=other)
        refusal(credentials, forged)


def _encoded(url: str) -> str:
    return "sagemaker-api-key-" + base64.b64encode(url.encode()).decode()


def _flip(text: str, start: int, end: int, draw: random.Random) -> str:
    at, bit = draw.randrange(start, end), 1 << draw.randrange(7)
    return text[:at] + chr(ord(text[at]) ^ bit) + text[at + 1 :]
