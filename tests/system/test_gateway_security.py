"""Forged calls over real sockets: all are refused, and none leaves a trace in any trajectory's record."""

import asyncio
import base64
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as AwsKeys

from system.gateway_at_work import AtWork, Visit, at_work
from system.raw_http import RawAnswer, RawConnection, raw_connection
from turnwright.core.outcome import Rewarded
from turnwright.core.rollout import RolloutRequest
from turnwright.gateway.credentials import Credentials
from turnwright.gateway.session import Session

pytestmark = pytest.mark.slow

CHAT = {"model": "default", "messages": [{"role": "user", "content": "order: O3"}], "max_tokens": 8}
RESPONSES = {"model": "default", "input": "order: O3"}
ASKING: dict[str, Any] = {
    "/v1/chat/completions": CHAT,
    "/v1/responses": RESPONSES,
    "/v1/messages": CHAT,
    "/v1/messages/count_tokens": CHAT,
    "/sample": CHAT,
    "/sample-with-response-stream": CHAT,
}
"""Paths that ask the policy, and a good body of each."""
OTHER_JOB = "arn:aws:sagemaker:local:000000000000:job/AgentRFT/other"
JOB = "X-Amzn-SageMaker-Job-Arn"
TRAJECTORY = "X-Amzn-SageMaker-Trajectory-Id"
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Forgery:
    """A request that somebody makes who must not."""

    what: str
    method: str = "POST"
    target: str
    headers: Headers = ()
    body: bytes = b""

    async def send(self, connection: RawConnection) -> RawAnswer:
        return await connection.send(self.method, self.target, self.headers, self.body)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Trajectories under attack, and what the attacker rightfully has."""

    work: AtWork
    own: RolloutRequest
    second: RolloutRequest
    """Another of the attacker's."""
    victims: Sequence[tuple[Session, RolloutRequest]]
    """Open, sealed, rewarded."""
    sessions: Sequence[Session]

    def picture(self) -> tuple[object, ...]:
        """Everything that a call could change."""
        told = [
            (s.trajectory_id, s.state, s.num_calls, s.num_retries, s.outcome(), s.trajectory()) for s in self.sessions
        ]
        return (self.work.logged(), len(self.work.engine.requests), told)


def bearer(token: str) -> Headers:
    return (("Authorization", f"Bearer {token}"),)


def encode(body: object) -> bytes:
    return json.dumps(body).encode()


async def set_scene(work: AtWork) -> Scene:
    opened = [await work.open() for _ in range(5)]
    visits = [Visit(request.payload(), []) for _, request in opened]
    for visit in visits:
        await visit.say()
    for visit in visits[1:3]:
        await visit.complete(ClientToken="seal")
    await visits[2].reward(0.5, ClientToken="reward")
    (_, own), (_, second) = opened[3:]
    return Scene(work=work, own=own, second=second, victims=opened[:3], sessions=[session for session, _ in opened])


def endpoints(name: str) -> Iterator[tuple[str, str, bytes]]:
    """Every call that could do something to or with a trajectory: method, target, body."""
    for path, body in ASKING.items():
        yield "POST", path, encode(body)
        if path.startswith("/v1"):
            yield "POST", f"/t/{name}{path}", encode(body)
    yield "POST", "/complete-rollout", encode({"TrajectoryId": name})
    yield "POST", "/complete-rollout", encode({"TrajectoryId": name, "Status": "failed", "ClientToken": "other"})
    yield "POST", "/update-reward", encode({"TrajectoryId": name, "Rewards": [1.0]})
    yield "POST", "/update-reward", encode({"TrajectoryId": name, "Rewards": [1.0], "ClientToken": "reward"})
    yield "POST", "/control/rollouts", encode({"prompt": "order: O9"})
    yield "GET", f"/control/rollouts/{name}", b""
    yield "GET", "/rollouts/next?wait=0", b""
    yield "POST", f"/rollouts/{name}/heartbeat", b""


def forged_tokens(scene: Scene, victim: RolloutRequest) -> Iterator[tuple[str, str]]:
    """Tokens that this run never minted."""
    own, other = scene.own.api_key, victim.sampling_key
    prefix, payload, signature = own.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))

    def claiming(**changes: object) -> str:
        text = json.dumps({**claims, **changes}, sort_keys=True, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(text).rstrip(b"=").decode()

    yield "other trajectory, own signature", f"{prefix}.{claiming(trajectory=victim.trajectory_id)}.{signature}"
    yield "any trajectory, own signature", f"{prefix}.{claiming(trajectory=None)}.{signature}"
    yield "more scopes, own signature", f"{prefix}.{claiming(scopes=['control', 'reward', 'sample'])}.{signature}"
    yield "longer life, own signature", f"{prefix}.{claiming(expires=2**40)}.{signature}"
    yield "own payload, other signature", f"{prefix}.{payload}.{other.rpartition('.')[2]}"
    yield "no signature", f"{prefix}.{payload}."
    yield "no payload", f"{prefix}..{signature}"
    yield "cut", own[:-1]
    yield "longer", f"{own}A"
    yield "two tokens", f"{own}.{other}"
    yield "another version", f"tw2.{payload}.{signature}"
    yield "not ours", "sk-1234567890"
    yield "nothing", ""
    stranger = Credentials(job_arn=victim.job_arn)
    yield "another secret", stranger.mint(victim.trajectory_id, ("sample", "reward", "control"))
    yield "another job", Credentials(job_arn=OTHER_JOB).mint(victim.trajectory_id, ("sample", "reward"))


def wrong_credentials(scene: Scene, victim: RolloutRequest) -> Iterator[Forgery]:
    for what, token in forged_tokens(scene, victim):
        for method, target, body in endpoints(victim.trajectory_id):
            headers = (*bearer(token), (TRAJECTORY, victim.trajectory_id))
            yield Forgery(what=what, method=method, target=target, headers=headers, body=body)
    for name in ("x-api-key", "X-Amz-Security-Token"):
        token = Credentials(job_arn=victim.job_arn).mint(victim.trajectory_id, ("sample", "reward"))
        for method, target, body in endpoints(victim.trajectory_id):
            yield Forgery(what=name, method=method, target=target, headers=((name, token),), body=body)


def wrong_trajectory(scene: Scene, victim: RolloutRequest) -> Iterator[Forgery]:
    """A good token of the attacker's, used on somebody else's trajectory."""
    own, name = scene.own, victim.trajectory_id
    for method, target, body in endpoints(name):
        if target in ASKING:
            named = ((TRAJECTORY, name),)
            yield Forgery(what="header", target=target, headers=(*bearer(own.api_key), *named), body=body)
            twice = ((TRAJECTORY, own.trajectory_id), *named)
            yield Forgery(what="header twice", target=target, headers=(*bearer(own.api_key), *twice), body=body)
            yield Forgery(
                what="header twice", target=target, headers=(*bearer(own.api_key), *reversed(twice)), body=body
            )
            other = ((JOB, OTHER_JOB),)
            yield Forgery(what="other job", target=target, headers=(*bearer(own.api_key), *other), body=body)
            both = (*bearer(own.api_key), ("x-api-key", scene.second.api_key))
            yield Forgery(what="two trajectories' tokens", target=target, headers=both, body=body)
            both = (*bearer(own.api_key), *bearer(own.api_key))
            yield Forgery(what="two authorizations", target=target, headers=both, body=body)
        else:
            yield Forgery(what="own token", method=method, target=target, headers=bearer(own.api_key), body=body)
    for target in ("/complete-rollout", "/update-reward"):
        report = {"TrajectoryId": own.trajectory_id, "Rewards": [1.0]}
        for what, headers, changes in (
            ("header says other", ((TRAJECTORY, name),), {}),
            ("body says other", ((TRAJECTORY, own.trajectory_id),), {"TrajectoryId": name}),
            ("job of another in the body", (), {"JobArn": OTHER_JOB}),
            ("job of another in the header", ((JOB, OTHER_JOB),), {}),
        ):
            yield Forgery(
                what=what, target=target, headers=(*bearer(own.api_key), *headers), body=encode({**report, **changes})
            )


def wrong_scope(scene: Scene, victim: RolloutRequest) -> Iterator[Forgery]:
    """Good tokens, used for what they were not given for."""
    name = victim.trajectory_id
    control = scene.work.opened.credentials.mint(None, ("control",))
    for method, target, body in endpoints(name):
        if target in ASKING or target.startswith("/t/"):
            headers = (*bearer(control), (TRAJECTORY, name))
            yield Forgery(what="control token asks", target=target, headers=headers, body=body)
            continue
        yield Forgery(
            what="sampling key reports", method=method, target=target, headers=bearer(victim.sampling_key), body=body
        )
        if "control" in target or "rollouts/" in target:
            yield Forgery(
                what="agent controls", method=method, target=target, headers=bearer(victim.api_key), body=body
            )
        else:
            yield Forgery(what="control token reports", target=target, headers=bearer(control), body=body)


def confused_paths(scene: Scene, victim: RolloutRequest) -> Iterator[Forgery]:
    """Own token, and a path that some reader could take for another."""
    own, name = scene.own.trajectory_id, victim.trajectory_id
    call = "v1/chat/completions"
    for target in (
        f"/t/{name}/{call}",
        f"/t/{name}%2Fv1/chat/completions",
        f"/t/{name}%2fv1%2fchat%2fcompletions",
        f"/t%2F{name}/{call}",
        f"/t/{own}/../{name}/{call}",
        f"/t/{own}/%2e%2e/{name}/{call}",
        f"/t/{own}%2F..%2F{name}/{call}",
        f"/t/{own}/{call}/../../../{name}/{call}",
        f"/t/./{name}/{call}",
        f"/./t/{name}/{call}",
        f"//t/{name}/{call}",
        f"/t//{name}/{call}",
        f"/t/{name}//{call}",
        f"/t/{own}//{call}",
        f"/t/{name}/{call}/",
        f"/T/{name}/{call}",
        f"/t/{name.upper()}/{call}",
        f"/t/{own.upper()}/{call}",
        f"/t/{own}/V1/chat/completions",
        f"/t/{name}%00/{call}",
        f"/t/{own}%00/{call}",
        f"/t/{own}%20/{call}",
        f"/t/{own};{name}/{call}",
        f"/t/{own},{name}/{call}",
        f"/t/{own}%0d%0aX-Api-Key:x/{call}",
        f"/t/{own}%252F{name}/{call}",
        f"/t/%74-{name[2:]}/{call}",
        f"/t//{call}",
        f"//{call}",
        f"/{call}/",
        f"/{call}%2F",
        f"/{call}//",
        f"/x/../{call}",
        f"\\{call}",
        f"http://elsewhere.invalid/t/{name}/{call}",
    ):
        yield Forgery(what="path", target=target, headers=bearer(scene.own.api_key), body=encode(CHAT))


def aws_forgeries(scene: Scene, victim: RolloutRequest) -> Iterator[Forgery]:
    """Signatures of AWS's own signer: with keys of another job, or over something else than what is sent."""
    url = scene.work.opened.url
    rightful = scene.work.opened.credentials.aws_environment(url)
    foreign = Credentials(job_arn=OTHER_JOB).aws_environment(url)
    mixed = {**foreign, "AWS_ACCESS_KEY_ID": rightful["AWS_ACCESS_KEY_ID"]}
    report = {"TrajectoryId": victim.trajectory_id, "Rewards": [1.0]}
    changed = encode({**report, "Rewards": [0.0]})
    named = ((TRAJECTORY, victim.trajectory_id),)
    for target in ("/complete-rollout", "/update-reward", "/sample"):
        body = encode(CHAT if target == "/sample" else report)
        for what, keys in (("keys of another job", foreign), ("own secret under the run's key id", mixed)):
            headers = signed(keys, url, target, body, named)
            yield Forgery(what=what, target=target, headers=headers, body=body)
        headers = signed(rightful, url, target, body, named)
        yield Forgery(what="another body was signed", target=target, headers=headers, body=changed)
        other = tuple((n, scene.own.trajectory_id if n == TRAJECTORY else v) for n, v in headers)
        yield Forgery(what="another trajectory was signed", target=target, headers=other, body=body)
        elsewhere = signed(rightful, url, "/health", body, named)
        yield Forgery(what="another path was signed", target=target, headers=elsewhere, body=body)
        old = signed(rightful, url, target, body, named, date="20200101T000000Z")
        yield Forgery(what="signed long ago", target=target, headers=old, body=body)
        unsigned = (*signed(rightful, url, target, body, ()), *named)
        yield Forgery(what="the trajectory is not signed", target=target, headers=unsigned, body=body)


def signed(keys: dict[str, str], url: str, path: str, body: bytes, headers: Headers, date: str = "") -> Headers:
    """Return the headers of a request that boto3 would send with these keys."""
    request = AWSRequest(method="POST", url=url + path, data=body, headers=dict(headers))
    signer = SigV4Auth(AwsKeys(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"]), "sagemaker", "local")
    if date:
        request.context["timestamp"] = date
        request.headers["X-Amz-Date"] = date
        request.headers["Host"] = url.removeprefix("http://")
        to_sign = signer.string_to_sign(request, signer.canonical_request(request))
        signer._inject_signature_to_request(request, signer.signature(to_sign, request))
    else:
        signer.add_auth(request)
    return tuple((name, value) for name, value in request.headers.items() if name.lower() != "host")


ATTACKS = (wrong_credentials, wrong_trajectory, wrong_scope, confused_paths, aws_forgeries)


def test_a_thousand_forged_calls_are_refused_and_leave_no_trace(tmp_path: Path) -> None:
    async def main() -> int:
        async with at_work(tmp_path) as work, raw_connection(work.opened.url) as connection:
            scene = await set_scene(work)
            before = scene.picture()
            passed: list[tuple[Forgery, RawAnswer]] = []
            num_forged = 0
            for _, victim in scene.victims:
                for forgery in chain.from_iterable(attack(scene, victim) for attack in ATTACKS):
                    answer = await forgery.send(connection)
                    num_forged += 1
                    if not 400 <= answer.status < 500 or victim.api_key.encode() in answer.body:
                        passed.append((forgery, answer))
            assert passed == []
            assert scene.picture() == before

            # What is rightful still works, with the same credentials.
            (session, victim), *_ = scene.victims
            visit = Visit(victim.payload(), [])
            await visit.say()
            await visit.complete()
            await visit.reward(1.0)
            assert visit.statuses == [200, 200, 200]
            assert session.outcome() == Rewarded(value=1.0)
            return num_forged

    started = time.monotonic()
    assert asyncio.run(main()) >= 1000
    assert time.monotonic() - started < 20


def test_a_token_that_has_expired_does_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with at_work(tmp_path, token_lifetime=0.001) as work, raw_connection(work.opened.url) as connection:
            session, request = await work.open()
            before = work.logged()
            control = work.opened.credentials.mint(None, ("control", "sample"))
            for token in (request.api_key, request.sampling_key, control):
                for method, target, body in endpoints(request.trajectory_id):
                    answer = await connection.send(method, target, bearer(token), body)
                    assert answer.status == 403, (method, target, answer)
                    assert b"expired" in answer.body
            assert (work.logged(), session.num_calls, session.state) == (before, 0, "open")

    asyncio.run(main())


def test_a_replayed_report_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with at_work(tmp_path) as work:
            session, request = await work.open()
            visit = Visit(request.payload(), [])
            await visit.say()
            await visit.complete(ClientToken="seal")
            await visit.reward(0.5, ClientToken="reward")
            before, outcome = work.logged(), session.outcome()
            await visit.reward(0.5, ClientToken="reward")
            await visit.reward(1.0, ClientToken="reward")
            await visit.complete(ClientToken="seal")
            await visit.complete(ClientToken="seal", Status="failed")
            assert visit.statuses[3:] == [200] * 4, "the same ClientToken: told again, not done again"
            for token in ({"ClientToken": "another"}, {}):
                assert (await visit.reward(1.0, **token)).status_code == 409
                assert (await visit.complete(Status="failed", **token)).status_code == 409
            assert (work.logged(), session.outcome()) == (before, outcome) == (before, Rewarded(value=0.5))

    asyncio.run(main())


def test_unscoped_keys_are_refused_where_the_run_wants_scoped_ones(tmp_path: Path) -> None:
    async def main() -> None:
        async with at_work(tmp_path, require_scoped_tokens=True) as work, raw_connection(work.opened.url) as connection:
            session, request = await work.open()
            keys = work.opened.credentials.aws_environment(work.opened.url)
            body = encode({"TrajectoryId": request.trajectory_id})
            headers = signed(keys, work.opened.url, "/complete-rollout", body, ())
            answer = await connection.send("POST", "/complete-rollout", headers, body)
            assert (answer.status, session.state) == (403, "open")
            assert "require_scoped_tokens" in answer.json()["message"]

    asyncio.run(main())


def test_the_run_s_own_aws_keys_are_bound_to_its_job(tmp_path: Path) -> None:
    async def main() -> None:
        async with at_work(tmp_path) as work, raw_connection(work.opened.url) as connection:
            session, request = await work.open()
            keys = work.opened.credentials.aws_environment(work.opened.url)
            headers = signed(keys, work.opened.url, "/sample", encode(CHAT), ((TRAJECTORY, request.trajectory_id),))
            assert (await connection.send("POST", "/sample", headers, encode(CHAT))).status == 200
            assert session.num_calls == 1

    asyncio.run(main())
