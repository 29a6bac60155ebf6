"""AWS signatures: what an unmodified AWS SDK sends to prove who it is, checked with botocore's own signer.

Two forms reach the gateway, both Signature Version 4 over the key pair that the run mints:

- boto3's ``sagemakerjobruntime`` client signs each request in its ``Authorization`` header: method, path, the headers
  it names, and the hash of the body. It holds for five minutes around its date.
- ``sagemaker-core``'s token generator sends a bearer, ``sagemaker-api-key-`` + base64 of a presigned
  ``CallWithBearerToken`` URL. It covers no request and holds for as long as it says, at most twelve hours.

The region may be any: it is part of what is signed, and a local run has none.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import unquote

from turnwright.gateway.calls import Caller
from turnwright.gateway.refusals import Refusal

CLOCK_SKEW_SECONDS = 300
"""How far the date of a signed request may be from ours, as AWS has it."""
LONGEST_BEARER_SECONDS = 12 * 3600
BEARER_PREFIX = "sagemaker-api-key-"
SERVICE = "sagemaker"
"""Signing name of the job runtime and of the bearer."""

_LONGEST_BEARER_TEXT = 16384
_CREDENTIAL = rf"(?P<key>[\w.+@-]{{1,128}})/(?P<day>\d{{8}})/(?P<region>[a-z0-9-]{{1,64}})/{SERVICE}/aws4_request"
_AUTHORIZATION = re.compile(
    rf"AWS4-HMAC-SHA256 +Credential={_CREDENTIAL}, *SignedHeaders=(?P<headers>[a-z0-9_;-]+), *"
    r"Signature=(?P<signature>[0-9a-f]{64})",
    re.ASCII,
)
_SCOPE = re.compile(_CREDENTIAL, re.ASCII)
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_TIMESTAMP = re.compile(r"\d{8}T\d{6}Z", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsSignature:
    """A signature and everything it covers; not verified until ``verify`` has returned."""

    access_key_id: str
    region: str
    timestamp: str
    """``YYYYMMDDTHHMMSSZ``."""
    lifetime_seconds: int
    """How long after its date it holds."""
    signature: str
    """64 hex digits."""
    method: str
    url: str
    headers: Mapping[str, str]
    """The signed ones."""
    body: bytes = field(default=b"", repr=False)
    security_token: str | None = None
    """``X-Amz-Security-Token``, where the caller's credentials are temporary."""

    def verify(self, secret_access_key: str, now: float) -> None:
        """Sign the same things again and compare, then check the date.

        Args:
            secret_access_key: The one that belongs to ``access_key_id``.
            now: Seconds since the epoch.

        Raises:
            Refusal: The signature is another, its date is too far away, or botocore is not installed.
        """
        if not hmac.compare_digest(self._expected(secret_access_key), self.signature):
            raise Refusal(
                "access_denied",
                "bad AWS signature: it must be made with the AWS_SECRET_ACCESS_KEY of this run (`turnwright gateway "
                "--aws-env` prints it), and nothing between may change host, path, signed headers or body",
            )
        age = now - _seconds(self.timestamp)
        if age > self.lifetime_seconds:
            raise Refusal(
                "access_denied",
                f"expired AWS signature: dated {self.timestamp} it held for {self.lifetime_seconds} s, which is "
                f"{age - self.lifetime_seconds:.0f} s ago; sign anew, with a clock that is right",
            )
        if age < -CLOCK_SKEW_SECONDS:
            raise Refusal(
                "access_denied",
                f"AWS signature from the future: dated {self.timestamp}, expected at most {CLOCK_SKEW_SECONDS} s ahead "
                "of the gateway's clock; set the clock",
            )

    def _expected(self, secret_access_key: str) -> str:
        try:
            from botocore.auth import SigV4Auth
            from botocore.awsrequest import AWSRequest
            from botocore.credentials import Credentials
        except ImportError:
            raise Refusal(
                "access_denied",
                "AWS signatures cannot be verified: botocore is not installed where the gateway runs; install "
                "turnwright[aws] there, or send the rollout request's metadata.api_key as a bearer token",
            ) from None
        signer = SigV4Auth(Credentials(self.access_key_id, secret_access_key), SERVICE, self.region)
        request = AWSRequest(method=self.method, url=self.url, headers=dict(self.headers), data=self.body)
        request.context["timestamp"] = self.timestamp
        return str(signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request))


def read_authorization(caller: Caller) -> AwsSignature | None:
    """Read a signed request; None when its Authorization header is of another kind.

    Raises:
        Refusal: It is meant to be a signature and is none, or leaves out what it must cover.
    """
    authorization = caller.headers.get("authorization", "")
    if not authorization.startswith("AWS4-"):
        return None
    match = _AUTHORIZATION.fullmatch(authorization)
    if match is None:
        raise _malformed(
            "the Authorization header",
            f"expected 'AWS4-HMAC-SHA256 Credential=KEY/DAY/REGION/{SERVICE}/aws4_request, SignedHeaders=..., "
            "Signature=...'",
        )
    signed = match["headers"].split(";")
    timestamp = caller.headers.get("x-amz-date", "")
    _check_date(timestamp, match["day"], "the X-Amz-Date header")
    identity = (name for name in caller.headers if name.startswith("x-amzn-sagemaker-"))
    if uncovered := {"host", "x-amz-date", *identity} - set(signed):
        raise _malformed("SignedHeaders", f"it must name {', '.join(sorted(uncovered))}")
    if absent := [name for name in signed if name not in caller.headers]:
        raise _malformed("SignedHeaders", f"it names {', '.join(absent)}, which did not arrive")
    body_hash = caller.headers.get("x-amz-content-sha256")
    if body_hash is not None and body_hash != hashlib.sha256(caller.body).hexdigest():
        raise _malformed("X-Amz-Content-SHA256", "it must be the SHA-256 of the body that arrived")
    return AwsSignature(
        access_key_id=match["key"],
        region=match["region"],
        timestamp=timestamp,
        lifetime_seconds=CLOCK_SKEW_SECONDS,
        signature=match["signature"],
        method=caller.method,
        # Any host: the signed one is among the headers. Plain http: there the signer always hashes the body.
        url=f"http://signed.invalid{caller.path}",
        headers={name: caller.headers[name] for name in signed},
        body=caller.body,
        security_token=caller.headers.get("x-amz-security-token"),
    )


def read_bearer(token: str) -> AwsSignature | None:
    """Read a presigned bearer; None when the token is of another kind.

    Raises:
        Refusal: It begins like one and is none.
    """
    if not token.startswith(BEARER_PREFIX):
        return None
    host, _, path_and_query = _decoded(token.removeprefix(BEARER_PREFIX)).partition("/")
    path, _, query_text = path_and_query.partition("?")
    pairs = [pair.partition("=") for pair in query_text.split("&")]
    query = {name: unquote(value) for name, _, value in pairs}
    scope = _SCOPE.fullmatch(query.get("X-Amz-Credential", ""))
    expires = query.get("X-Amz-Expires", "")
    if (
        len(query) != len(pairs)
        or scope is None
        or query.get("Action") != "CallWithBearerToken"
        or query.get("X-Amz-Algorithm") != "AWS4-HMAC-SHA256"
        or query.get("X-Amz-SignedHeaders") != "host"
        or not _SIGNATURE.fullmatch(query.get("X-Amz-Signature", ""))
    ):
        raise _malformed("the bearer", "expected a presigned CallWithBearerToken URL, each parameter once")
    if not re.fullmatch(r"[0-9]{1,5}", expires) or not 1 <= int(expires) <= LONGEST_BEARER_SECONDS:
        raise _malformed("X-Amz-Expires", f"got {expires[:20]!r}, expected 1 to {LONGEST_BEARER_SECONDS} seconds")
    _check_date(query.get("X-Amz-Date", ""), scope["day"], "X-Amz-Date")
    # The generator appends the version after signing.
    signed = "&".join(f"{name}={value}" for name, _, value in pairs if name not in ("X-Amz-Signature", "Version"))
    return AwsSignature(
        access_key_id=scope["key"],
        region=scope["region"],
        timestamp=query["X-Amz-Date"],
        lifetime_seconds=int(expires),
        signature=query["X-Amz-Signature"],
        method="POST",
        url=f"http://signed.invalid/{path}?{signed}",
        headers={"host": host},
        security_token=query.get("X-Amz-Security-Token"),
    )


def _decoded(encoded: str) -> str:
    try:
        text = base64.b64decode(encoded[:_LONGEST_BEARER_TEXT], validate=True)
        # Base64 has several spellings of some bytes; only the one that the generator writes is a token.
        if base64.b64encode(text).decode("ascii") == encoded and not re.search(rb"[^!-~]", text):
            return text.decode("ascii")
    except (binascii.Error, ValueError):
        pass
    raise _malformed("the bearer", f"expected {BEARER_PREFIX!r} followed by base64 of a URL")


def _check_date(timestamp: str, day: str, name: str) -> None:
    try:
        known = _TIMESTAMP.fullmatch(timestamp) is not None and _seconds(timestamp) > 0
    except ValueError:
        known = False
    if not known or not timestamp.startswith(day):
        raise _malformed(name, f"got {timestamp[:20]!r}, expected YYYYMMDDTHHMMSSZ on the day of the credential scope")


def _seconds(timestamp: str) -> float:
    return datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _malformed(name: str, expectation: str) -> Refusal:
    return Refusal("access_denied", f"malformed AWS signature: {name}: {expectation}")
