"""What goes in and out of the interface, without a word about HTTP or sockets.

A request is answered by a generator: it asks to look at the exchange, or to send it a command, and
returns the answer. It does nothing itself, so a test can drive it with values.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from target_stub.api.records import Records
from target_stub.core import Account, Command, State
from target_stub.core.errors import Reason
from target_stub.ports import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """One request: ``account`` is who asks (None: nobody said), ``id`` names its commands."""

    method: str
    path: str
    id: str
    at_ms: int
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    account: str | None = None

    @property
    def caller(self) -> str:
        """The account that asks; ApiError if nobody said who he is."""
        if self.account is None:
            raise ApiError(401, "UNAUTHORIZED_ERROR", "this request needs a bearer token")
        return self.account


@dataclass(frozen=True, slots=True)
class Answer:
    """A status code and a JSON document, or no document (204)."""

    status: int
    body: Any = None


class ApiError(Exception):
    """A refusal: HTTP status, code of the public API, and a sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message

    @property
    def answer(self) -> Answer:
        """The refusal as an answer."""
        return Answer(self.status, {"error": self.code, "message": self.message, "data": None})


@dataclass(frozen=True, slots=True)
class Look:
    """Read the exchange: the generator is sent a :class:`View`."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a command to a service: the generator is sent its events."""

    address: str
    method: str
    command: Command


LOOK = Look()
#: How a request is answered.
Answering = Generator[Look | Send, Any, Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The exchange as the gateway knows it at one moment.

    ``chain`` is what is settled, ``cloud`` what matching has in its books, ``rows`` what market
    data announced last, by market. Times of the core become times since 1970 by ``epoch_ms``.
    """

    chain: State
    cloud: State
    records: Records
    rows: Mapping[str, Row]
    now_ms: int
    epoch_ms: int
    next_seq_no: Callable[[], int]

    def wall_ms(self, at_ms: int) -> int:
        """A time of the core in milliseconds since 1970."""
        return self.epoch_ms + at_ms

    def account(self, name: str) -> Account:
        """Balance and positions as they are settled, orders as matching has them."""
        settled = self.chain.accounts.get(name)
        if settled is None:
            raise ApiError(404, "ACCOUNT_NOT_FOUND", f"{name} has no account")
        matched = self.cloud.accounts.get(name)
        return replace(settled, orders={} if matched is None else matched.orders)

    def check_market(self, symbol: str) -> None:
        """ApiError unless a market of this name is listed."""
        if symbol not in self.chain.markets:
            raise ApiError(404, "MARKET_NOT_FOUND", f"{symbol} is not listed")


#: HTTP status and code of a refusal by the core; the public codes name themselves.
_CODES: Mapping[Reason, tuple[int, str]] = {
    Reason.MAINTENANCE_MODE: (503, "SERVICE_UNAVAILABLE"),
    Reason.POST_ONLY_MODE: (503, "SYSTEM_STATUS_POST_ONLY"),
    Reason.CANCEL_ONLY_MODE: (503, "SYSTEM_STATUS_CANCEL_ONLY"),
    Reason.UNKNOWN_ACCOUNT: (404, "ACCOUNT_NOT_FOUND"),
    Reason.UNKNOWN_MARKET: (404, "MARKET_NOT_FOUND"),
    Reason.ORDER_ID_NOT_FOUND: (404, "ORDER_ID_NOT_FOUND"),
    Reason.DUPLICATED_CLIENT_ID: (400, "DUPLICATED_CLIENT_ID"),
    Reason.INVALID_TIMESTAMP: (400, "INVALID_TIMESTAMP"),
    Reason.MARKET_NOT_OPEN: (400, "MARKET_NOT_OPEN"),
    Reason.BAD_SIZE: (400, "VALIDATION_ERROR"),
    Reason.BAD_PRICE: (400, "VALIDATION_ERROR"),
    Reason.BAD_COMBINATION: (400, "VALIDATION_ERROR"),
}


def refusal(reason: Reason, detail: str) -> ApiError:
    """A refusal of the core as the interface tells it; nothing has happened and nothing will."""
    status, code = _CODES.get(reason, (400, "REQUEST_NOT_ALLOWED"))
    words = str(reason) if not detail else f"{reason}: {detail}"
    return ApiError(status, code, words)


def look() -> Generator[Look, View, View]:
    """Look at the exchange; a generator does that by ``yield from``."""
    return (yield LOOK)


def listed(entries: Iterable[Mapping[str, Any]]) -> Answer:
    """A list as the interface wraps it, with nothing further to fetch."""
    return Answer(200, {"next": None, "prev": None, "results": [dict(one) for one in entries]})
