"""Requests to S3 that are signed by a key: AWS Signature Version 4.

After the Amazon S3 API Reference, "Authenticating Requests: Using the Authorization Header". Who
has no key signs nothing, and is served by stores that ask for none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from hmac import digest
from urllib.parse import quote, unquote

ALGORITHM, SERVICE, ENDS = "AWS4-HMAC-SHA256", "s3", "aws4_request"
#: Where a key belongs that is told nothing else.
REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class Key:
    """A key of an account, and the region in which it signs."""

    name: str
    secret: str
    region: str = REGION


def key_of_environment() -> Key | None:
    """The key that the environment names as all tools of AWS do, if it names one."""
    name, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    region = os.environ.get("AWS_REGION", REGION)
    return Key(name, secret, region) if name and secret else None


def signed(
    key: Key, method: str, path: str, *, headers: Mapping[str, str], body: bytes, at: datetime
) -> Mapping[str, str]:
    """The headers of a request, with those that sign them, the path and the body.

    ``headers`` have small letters, and ``host`` is one of them; the path has no query.
    """
    time = at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    content = sha256(body).hexdigest()
    told = {**headers, "x-amz-content-sha256": content, "x-amz-date": time}
    names = ";".join(sorted(told))
    lines = [f"{name}:{told[name].strip()}\n" for name in sorted(told)]
    canonical = "\n".join([method, quote(unquote(path)), "", "".join(lines), names, content])
    scope = f"{time[:8]}/{key.region}/{SERVICE}/{ENDS}"
    text = "\n".join([ALGORITHM, time, scope, sha256(canonical.encode()).hexdigest()])
    step = f"AWS4{key.secret}".encode()
    for word in (time[:8], key.region, SERVICE, ENDS, text):
        step = digest(step, word.encode(), "sha256")
    credential = f"Credential={key.name}/{scope}"
    told["authorization"] = f"{ALGORITHM} {credential},SignedHeaders={names},Signature={step.hex()}"
    return told
