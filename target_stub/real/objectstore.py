"""An object store by the S3 protocol: the client that services use, and a small server of it.

Of S3 what the exchange needs: PUT and GET of whole objects, entity tags, and conditional writes
(``If-None-Match: *`` and ``If-Match``, 412 if the condition fails). The client signs if it has a
key; the server asks for none, and keeps objects in memory. Amazon S3 API Reference, PutObject and
GetObject; Amazon S3 User Guide, conditional writes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import md5
from typing import Any
from urllib.parse import urlsplit

from target_stub.real.codec import decode, encode
from target_stub.real.http import Clients, Message, open_listener, serve_for_ever
from target_stub.real.signing import key_of_environment, signed

BUCKET = "exchange"
#: Where the server makes everything as it was in the beginning.
RESET = "/reset"


class PreconditionFailed(Exception):
    """Somebody else has written the object meanwhile, or has made it, or it is not there."""


class S3Store:
    """The objects of a bucket of the store called ``storage``."""

    def __init__(self, clients: Clients, *, bucket: str = BUCKET) -> None:
        self.clients = clients
        self.bucket = bucket

    async def put(
        self, key: str, value: Any, *, if_match: str | None = None, if_none_match: bool = False
    ) -> str:
        """Store an object; its etag is returned.

        With ``if_match`` only over the object with that etag, with ``if_none_match`` only if there
        is none; otherwise :class:`PreconditionFailed`.
        """
        headers = {"if-match": if_match} if if_match is not None else {}
        headers |= {"if-none-match": "*"} if if_none_match else {}
        question = Message(
            method="PUT", target=self._place(key), headers=headers, body=encode(value).encode()
        )
        answer = await self._ask(question)
        if answer.status == 404:
            raise PreconditionFailed(question.target)
        return answer.headers["etag"]

    async def get(self, key: str) -> tuple[Any, str] | None:
        """An object and its etag, or nothing."""
        answer = await self._ask(Message(method="GET", target=self._place(key)))
        if answer.status == 404:
            return None
        return decode(answer.body), answer.headers["etag"]

    def _place(self, key: str) -> str:
        return f"/{self.bucket}/{key}"

    async def _ask(self, question: Message) -> Message:
        if (key := key_of_environment()) is not None:
            host = urlsplit(os.environ["STORAGE_URL"]).netloc
            headers = signed(
                key,
                question.method,
                question.target,
                headers={**question.headers, "host": host},
                body=question.body,
                at=datetime.now(UTC),
            )
            question = replace(question, headers=headers)
        answer = await self.clients.ask("storage", question)
        if answer.status == 412:
            raise PreconditionFailed(question.target)
        if answer.status >= 500:
            raise ConnectionError(f"the object store answered {answer.status}")
        if answer.status != 200 and (answer.status, b"NoSuchKey" in answer.body) != (404, True):
            raise ValueError(f"the object store answered {answer.status}: {answer.body!r}")
        return answer


class S3Server:
    """All objects of all buckets; ``objects`` are those of the beginning."""

    def __init__(self, objects: Mapping[str, bytes]) -> None:
        self.beginning = dict(objects)
        self.objects = dict(objects)

    async def run(self) -> None:
        """Serve for ever."""
        await serve_for_ever(await open_listener(), self.answer)

    async def answer(self, question: Message) -> Message:
        """One request and its answer; an object changes in one step."""
        place = question.target
        if question.method == "POST" and place == RESET:
            self.objects = dict(self.beginning)
            return Message(status=200)
        if question.method == "GET":
            return self._get(place)
        if question.method == "PUT":
            return self._put(place, question)
        return _refusal(405, "MethodNotAllowed")

    def _get(self, place: str) -> Message:
        known = self.objects.get(place)
        if known is None:
            return _refusal(404, "NoSuchKey")
        return Message(status=200, headers={"etag": etag(known)}, body=known)

    def _put(self, place: str, question: Message) -> Message:
        known, wanted = self.objects.get(place), question.headers.get("if-match")
        if wanted is not None and known is None:
            return _refusal(404, "NoSuchKey")
        changed = wanted is not None and known is not None and wanted != etag(known)
        if changed or (question.headers.get("if-none-match") == "*" and known is not None):
            return _refusal(412, "PreconditionFailed")
        self.objects[place] = question.body
        return Message(status=200, headers={"etag": etag(question.body)})


def etag(body: bytes) -> str:
    """The entity tag of an object that was written in one piece: the MD5 of it, quoted."""
    return f'"{md5(body, usedforsecurity=False).hexdigest()}"'


def _refusal(status: int, code: str) -> Message:
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code></Error>'
    return Message(status=status, headers={"content-type": "application/xml"}, body=body.encode())


def objects(values: Mapping[str, Any], *, bucket: str = BUCKET) -> Mapping[str, bytes]:
    """Objects as the server keeps them, from values by their keys."""
    return {f"/{bucket}/{key}": encode(value).encode() for key, value in values.items()}
