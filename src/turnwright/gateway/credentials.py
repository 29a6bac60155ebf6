"""Credentials: who may do what to which trajectory.

    Caller --token of ours--------------------> its trajectory, its scopes          kind "token"
           --AWS signature with our key pair--> any trajectory of the job           kind "aws"
           --anything else, or nothing--------> refused, or on loopback, if the     kind "unscoped"
                                                run allows it, any trajectory

A token is ``tw1.`` + base64url(JSON) + ``.`` + base64url(HMAC-SHA256): it names job, trajectory, scopes and expiry and
nothing else is needed to check it. It travels as ``Authorization: Bearer``, as ``x-api-key`` (Anthropic clients) or as
``X-Amz-Security-Token`` (an AWS SDK whose session token it is); in the last case the signature beside it is not
checked, because the token is the secret and says more than the key pair does.

Whatever claims to be ours and does not verify is refused, also where strangers would be let in.
"""

import base64
import hmac
import json
import logging
import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, get_args

from turnwright.core.errors import ConfigError
from turnwright.gateway.aws_signatures import AwsSignature, read_authorization, read_bearer
from turnwright.gateway.calls import Caller
from turnwright.gateway.refusals import Refusal

log = logging.getLogger(__name__)

Scope = Literal["sample", "reward", "control"]
"""sample: call the policy; reward: complete and reward; control: open trajectories and read what was recorded."""

PREFIX = "tw1."
"""Version of the token's format, signed with the rest."""
_AGENT_SCOPES: frozenset[Scope] = frozenset({"sample", "reward"})
_SHORTEST_SECRET = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a caller has proved.

    Example: a holder of a rollout request's ``api_key``::

        Identity(trajectory_id="t-5f2c", scopes=frozenset({"sample", "reward"}), job_arn="arn:...", kind="token")
    """

    trajectory_id: str | None
    """The only trajectory it may touch; None = any."""
    scopes: frozenset[Scope]
    job_arn: str | None
    """None: unproved."""
    kind: Literal["token", "aws", "unscoped"]

    def require(self, scope: Scope, trajectory_id: str | None = None) -> None:
        """Refuse what this caller may not do.

        Args:
            scope: What the call does.
            trajectory_id: The trajectory it touches; None = none.

        Raises:
            Refusal: The scope is missing, or the trajectory is another.
        """
        if scope not in self.scopes:
            raise _denied(
                f"scope missing: this call needs {scope!r} and the credential has {', '.join(sorted(self.scopes))}"
            )
        if self.trajectory_id is not None and trajectory_id is not None and self.trajectory_id != trajectory_id:
            raise _denied(
                f"other trajectory: the token is bound to {self.trajectory_id!r} and the call is about "
                f"{trajectory_id[:80]!r}; use the api_key of that trajectory's own rollout request"
            )


class Credentials:
    """Mints and checks the credentials of one run.

    Example::

        credentials = Credentials(job_arn="arn:aws:sagemaker:local:000000000000:job/AgentRFT/demo")
        token = credentials.mint("t-5f2c", ("sample", "reward"))
        credentials.identify(caller).require("sample", "t-5f2c")
    """

    def __init__(
        self,
        *,
        job_arn: str,
        secret: bytes | None = None,
        accept_unscoped: bool = False,
        require_scoped: bool = False,
        expires_in: float = 86400,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Derive the run's keys.

        Args:
            job_arn: The job that every credential is bound to.
            secret: What tokens and key pair are derived from, at least 16 bytes; the same one keeps them valid over a
                restart. None = a random one.
            accept_unscoped: Let callers on loopback in whose credentials this run did not mint.
            require_scoped: Refuse AWS key pairs, which are bound to the job and not to one trajectory.
            expires_in: Seconds that a token holds.
            clock: Seconds since the epoch.

        Raises:
            ConfigError: The secret is too short, or the two rules contradict each other.
        """
        if secret is not None and len(secret) < _SHORTEST_SECRET:
            raise ConfigError(f"the gateway's secret has {len(secret)} bytes: expected at least {_SHORTEST_SECRET}")
        if accept_unscoped and require_scoped:
            raise ConfigError(
                "gateway.accept_unscoped_tokens and gateway.require_scoped_tokens are both true: expected one; the "
                "first lets callers without a token of this run in, the second keeps them out"
            )
        self._job_arn = job_arn
        self._accept_unscoped = accept_unscoped
        self._require_scoped = require_scoped
        self._expires_in = expires_in
        self._clock = clock
        root = secrets.token_bytes(32) if secret is None else secret
        self._token_key = _derive(root, "token")
        # Letters and digits only, as AWS's own key ids; shells and .env files take both without quotes.
        self._access_key_id = "TWKEY" + base64.b32encode(_derive(root, f"access key id {job_arn}"))[:15].decode()
        self._secret_access_key = _derive(root, f"secret access key {job_arn}").hex()
        self._told_unbound = False

    def mint(self, trajectory_id: str | None, scopes: Collection[Scope]) -> str:
        """Return a token that may do ``scopes`` to one trajectory, or to all of the job with None.

        Raises:
            ConfigError: There is no scope, or an unknown one.
        """
        if not scopes or not set(scopes) <= set(get_args(Scope)):
            raise ConfigError(f"scopes = {sorted(scopes)}: expected some of {', '.join(get_args(Scope))}")
        claims = {
            "expires": int(self._clock() + self._expires_in),
            "job": self._job_arn,
            "scopes": sorted(set(scopes)),
            "trajectory": trajectory_id,
        }
        signed = PREFIX + _encode(json.dumps(claims, sort_keys=True, separators=(",", ":")).encode())
        return f"{signed}.{self._sign(signed)}"

    def aws_environment(self, endpoint: str) -> dict[str, str]:
        """Return the variables with which AWS's SDKs and SageMaker's agent SDK reach this gateway unmodified.

        Args:
            endpoint: Base URL of the gateway.
        """
        return {
            "AWS_ACCESS_KEY_ID": self._access_key_id,
            "AWS_SECRET_ACCESS_KEY": self._secret_access_key,
            "AWS_REGION": "local",
            "AWS_DEFAULT_REGION": "local",
            "AWS_ENDPOINT_URL_SAGEMAKERJOBRUNTIME": endpoint,
            "RFT_RUNTIME_ENDPOINT": endpoint,
        }

    def identify(self, caller: Caller) -> Identity:
        """Check every credential a caller presents; the strictest one that verifies counts.

        Raises:
            Refusal: One that claims to be of this run does not verify, two are bound to different trajectories, or
                none is of this run and strangers are not let in.
        """
        found = [identity for identity in self._presented(caller) if identity is not None]
        bound = {identity.trajectory_id for identity in found} - {None}
        if len(bound) > 1:
            raise _denied(f"other trajectory: the call carries tokens of {len(bound)} trajectories; send one token")
        if found:
            return min(found, key=lambda identity: (identity.trajectory_id is None, len(identity.scopes)))
        return self._stranger(caller)

    def _presented(self, caller: Caller) -> tuple[Identity | None, ...]:
        scheme, _, value = caller.headers.get("authorization", "").partition(" ")
        bearer = value.strip() if scheme.lower() == "bearer" else ""
        return (
            *map(self._token, (bearer, caller.headers.get("x-api-key", ""))),
            self._aws(read_authorization(caller) or read_bearer(bearer)),
            self._token(caller.headers.get("x-amz-security-token", "")),
        )

    def _token(self, token: str) -> Identity | None:
        """Check a token; None when it does not claim to be ours."""
        if not token.startswith(PREFIX):
            return None
        signed, _, signature = token.rpartition(".")
        if signed.count(".") != 1 or not signature:
            raise _denied(f"malformed token: expected {PREFIX!r} and two parts joined by a dot; send it whole")
        if not hmac.compare_digest(self._sign(signed).encode(), signature.encode("utf-8", "replace")):
            raise _denied(
                "bad signature: the token was not minted by this run, or was changed; use the api_key of the rollout "
                "request"
            )
        claims: dict[str, Any] = json.loads(_decode(signed.removeprefix(PREFIX)))
        if claims["job"] != self._job_arn:
            raise _denied(
                f"other job: the token is bound to {claims['job']!r} and this gateway serves {self._job_arn!r}"
            )
        if (late := self._clock() - claims["expires"]) >= 0:
            raise _denied(
                f"expired: the token ended {late:.0f} s ago; use that of a newer rollout request, or raise "
                "gateway.token_lifetime"
            )
        return Identity(
            trajectory_id=claims["trajectory"], scopes=frozenset(claims["scopes"]), job_arn=self._job_arn, kind="token"
        )

    def _aws(self, signature: AwsSignature | None) -> Identity | None:
        """Check an AWS signature, or the token of ours that it carries; None when its key pair is not ours."""
        if signature is None:
            return None
        if identity := self._token(signature.security_token or ""):
            return identity
        if not hmac.compare_digest(signature.access_key_id, self._access_key_id):
            return None
        signature.verify(self._secret_access_key, self._clock())
        if self._require_scoped:
            raise _denied(
                "not bound to a trajectory: this run accepts trajectory-scoped tokens only "
                "(gateway.require_scoped_tokens = true); send the rollout request's metadata.api_key as bearer, or as "
                "aws_session_token of the AWS client"
            )
        if not self._told_unbound:
            self._told_unbound = True
            log.warning(
                "an agent uses the run's AWS key pair, which is bound to the job and not to one trajectory, as AWS's "
                "are: it can touch every trajectory; gateway.require_scoped_tokens = true refuses it"
            )
        return Identity(trajectory_id=None, scopes=_AGENT_SCOPES, job_arn=self._job_arn, kind="aws")

    def _stranger(self, caller: Caller) -> Identity:
        if not self._accept_unscoped:
            raise _denied(
                "no credential of this run: send the rollout request's metadata.api_key as bearer token, x-api-key or "
                "aws_session_token, or sign with the keys of `turnwright gateway --aws-env`"
            )
        if not caller.is_loopback:
            raise _denied(
                "no credential of this run: gateway.accept_unscoped_tokens lets callers in from the same machine only; "
                "send the rollout request's metadata.api_key"
            )
        return Identity(trajectory_id=None, scopes=_AGENT_SCOPES, job_arn=None, kind="unscoped")

    def _sign(self, signed: str) -> str:
        return _encode(hmac.digest(self._token_key, signed.encode("utf-8", "replace"), "sha256"))


def new_trajectory_id() -> str:
    """Return a new name for a trajectory. None contains "404": AWS's client takes it for a missing resource."""
    while "404" in (name := f"t-{secrets.token_hex(12)}"):
        pass
    return name


def _derive(secret: bytes, purpose: str) -> bytes:
    return hmac.digest(secret, purpose.encode(), sha256)


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _denied(message: str) -> Refusal:
    return Refusal("access_denied", message)
