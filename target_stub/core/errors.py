"""What can go wrong inside the core, apart from a bug.

A missing value is an error, never a zero: an index or a price that nobody has computed yet must
stop whoever reads it. A refused command is not an error of the program; it becomes an event.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a command was refused or an order cancelled; capitals are codes of the Paradex API."""

    POST_ONLY_MODE = "SYSTEM_STATUS_POST_ONLY"
    CANCEL_ONLY_MODE = "SYSTEM_STATUS_CANCEL_ONLY"
    MAINTENANCE_MODE = "SERVICE_UNAVAILABLE"
    DUPLICATED_CLIENT_ID = "DUPLICATED_CLIENT_ID"
    DUPLICATED_ORDER_ID = "an order of this name is open"
    ORDER_ID_NOT_FOUND = "ORDER_ID_NOT_FOUND"
    UNKNOWN_ACCOUNT = "unknown account"
    UNKNOWN_MARKET = "unknown market"
    ACCOUNT_EXISTS = "account exists"
    BAD_AMOUNT = "impossible amount"
    BAD_SIZE = "impossible order size"
    BAD_PRICE = "impossible price"
    BAD_COMBINATION = "order type and instruction exclude each other"
    TOO_MANY_ORDERS = "too many open orders"
    OUTSIDE_BAND = "outside the price band"
    POSITION_LIMIT = "position limit"
    INITIAL_MARGIN = "initial margin requirement not met"
    NOT_REDUCING = "would not reduce the position"
    POST_ONLY_WOULD_TRADE = "post-only would trade"
    SELF_TRADE = "self-trade prevention"
    NOT_FILLED = "nothing left to fill against within the limit"
    SIBLING = "the other order of the pair fired"
    DELEVERAGED = "account below its initial margin"
    ON_REQUEST = "on request"
    NOT_WITHDRAWABLE = "more than is withdrawable"
    NOT_DUE = "account is not due for liquidation"
    PAUSED = "paused in this mode"
    TIME_RUNS_BACK = "time runs back"
    INVALID_TIMESTAMP = "INVALID_TIMESTAMP"
    MARKET_NOT_OPEN = "MARKET_NOT_OPEN"
    PARENT_ENDED = "the order that it protects ended unfilled"
    REPLACED = "replaced by its changed form"
    LEVERAGE = "more leverage than the market allows"
    WITHDRAWALS_CLOSED = "withdrawals are closed"
    LIQUIDATION_GRACE = "nobody is liquidated yet after the outage"
    SKIPS_A_STAGE = "the mode may not skip a stage"
    TOO_EARLY = "too early"
    NOT_READY = "a market is not ready"
    OVERTAKEN = "a later decision about the mode was taken already"
    UNKNOWN_TRANSFER = "unknown transfer"
    TRANSFER_ENDED = "the transfer has come further already"
    CREDITED_BEFORE = "this transaction was credited before"
    UNKNOWN_VAULT = "unknown vault"
    NOT_ENOUGH_SHARES = "not enough shares"
    LOCKED_UP = "shares are locked up"
    VAULT_FULL = "the vault takes no more"
    VAULT_BANKRUPT = "the shares of this vault are worth nothing"
    RESYNC = "account is in RESYNC"
    NOT_IN_RESYNC = "account is not in RESYNC"
    NOTHING_TO_UNWIND = "there is nothing to unwind"
    STALE_FORK = "decided on a fork of the chain that was rolled back"
    ROLLED_BACK = "an id of a fork that was rolled back"


class Missing(LookupError):
    """A market value was read before anybody had computed or loaded it."""

    def __init__(self, market: str, field: str) -> None:
        super().__init__(f"{market} has no {field} yet")
        self.market = market
        self.field = field


class Refusal(Exception):
    """The reason why a command is refused, on its way up to ``apply``, which reports it."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class InconsistentSeed(ValueError):
    """A populated exchange was described in a way no sequence of trades could have produced."""
