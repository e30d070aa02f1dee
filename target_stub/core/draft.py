"""The next state while one command works on it.

A draft copies a mapping the first time it is touched and never writes into the state it started
from; if the command is refused the draft is simply dropped. It lives inside one call of ``apply``
and must never be kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from target_stub.core.book import Book
from target_stub.core.errors import Reason, Refusal
from target_stub.core.events import Event, OrderCancelled
from target_stub.core.money import EXACT
from target_stub.core.orders import Account, Order
from target_stub.core.parameters import ExchangeSpec, Mode
from target_stub.core.state import Market, State
from target_stub.core.vaults import Vault


class Draft:
    """A state being written. Reading sees what was written so far."""

    __slots__ = (
        "_accounts",
        "_books",
        "_markets",
        "_touched",
        "at_ms",
        "ended",
        "events",
        "fees_usdc",
        "mode",
        "mode_sequence",
        "mode_since_ms",
        "net_deposits_usdc",
        "orders_placed",
        "outage_ended_at_ms",
        "remainder_usdc",
        "resyncing",
        "state",
        "transfers",
        "usdc_price",
        "vaults",
    )

    def __init__(self, state: State, at_ms: int) -> None:
        self.state = state
        self.at_ms = at_ms
        self.events: list[Event] = []
        self.ended: list[Order] = []
        """Orders that left their account in this command, as they were then."""
        self.mode: Mode = state.mode
        self.mode_sequence = state.mode_sequence
        self.mode_since_ms = state.mode_since_ms
        self.outage_ended_at_ms = state.outage_ended_at_ms
        self.transfers = state.transfers
        self.vaults = state.vaults
        self.resyncing = state.resyncing
        self.usdc_price: Decimal | None = state.usdc_price
        self.fees_usdc = state.fees_usdc
        self.remainder_usdc = state.remainder_usdc
        self.net_deposits_usdc = state.net_deposits_usdc
        self.orders_placed = state.orders_placed
        self._accounts: dict[str, Account] | None = None
        self._touched: dict[str, bool] = {}
        self._markets: dict[str, Market] | None = None
        self._books: dict[str, Book] | None = None

    @property
    def spec(self) -> ExchangeSpec:
        """The rules of the exchange."""
        return self.state.rules.exchange

    @property
    def accounts(self) -> Mapping[str, Account]:
        """All accounts as they stand now."""
        return self.state.accounts if self._accounts is None else self._accounts

    @property
    def markets(self) -> Mapping[str, Market]:
        """All markets as they stand now."""
        return self.state.markets if self._markets is None else self._markets

    @property
    def books(self) -> Mapping[str, Book]:
        """All books as they stand now."""
        return self.state.books if self._books is None else self._books

    def account(self, account: str) -> Account:
        """One account; refuses the command if it does not exist."""
        found = self.accounts.get(account)
        if found is None:
            raise Refusal(Reason.UNKNOWN_ACCOUNT, account)
        return found

    def market(self, symbol: str) -> Market:
        """One market; refuses the command if it is not listed."""
        found = self.markets.get(symbol)
        if found is None:
            raise Refusal(Reason.UNKNOWN_MARKET, symbol)
        return found

    def put_account(self, account: Account) -> None:
        """Write one account."""
        if self._accounts is None:
            self._accounts = dict(self.state.accounts)
        self._accounts[account.id] = account
        self._touched[account.id] = True

    def put_market(self, market: Market) -> None:
        """Write one market."""
        if self._markets is None:
            self._markets = dict(self.state.markets)
        self._markets[market.spec.symbol] = market

    def put_book(self, symbol: str, book: Book) -> None:
        """Write one book."""
        if self._books is None:
            self._books = dict(self.state.books)
        self._books[symbol] = book

    def put_vault(self, vault: Vault) -> None:
        """Write who owns which shares of one vault."""
        self.vaults = {**self.vaults, vault.id: vault}

    def is_shared(self, account: str) -> bool:
        """Whether an account belongs to the holders of vault shares, present or leaving."""
        return any(account == v.id or account in v.redemptions for v in self.vaults.values())

    def change_balance(self, account: str, by_usdc: Decimal) -> None:
        """Credit (or charge) one account."""
        found = self.account(account)
        balance_usdc = EXACT.add(found.balance_usdc, by_usdc)
        self.put_account(
            Account(found.id, balance_usdc, found.positions, found.orders, found.standing)
        )

    def put_order(self, order: Order) -> None:
        """Write one order of its account; the book is not touched."""
        account = self.account(order.account)
        orders = {**account.orders, order.id: order}
        self.put_account(replace(account, orders=orders))

    def rest(self, order: Order) -> None:
        """Write one order and put it into the book."""
        self.put_order(order)
        self.put_book(order.market, self.books[order.market].inserted(order))

    def touched(self) -> tuple[Account, ...]:
        """The accounts that this command has written, by id."""
        return tuple(self.accounts[name] for name in sorted(self._touched))

    def drop_order(self, order: Order) -> None:
        """Remove one order from its account and, if it stands there, from the book."""
        self.ended.append(order)
        account = self.account(order.account)
        orders = {key: kept for key, kept in account.orders.items() if key != order.id}
        self.put_account(replace(account, orders=orders))
        if not order.waits:
            self.put_book(order.market, self.books[order.market].removed(order))

    def cancel(self, order: Order, reason: Reason) -> None:
        """Remove one order and say why."""
        self.drop_order(order)
        self.events.append(OrderCancelled(order=order, reason=reason))

    def finished(self, command_id: str) -> State:
        """The state after this command."""
        before = self.state
        return State(
            rules=before.rules,
            markets=self.markets,
            accounts=self.accounts,
            books=self.books,
            mode=self.mode,
            usdc_price=self.usdc_price,
            fees_usdc=self.fees_usdc,
            remainder_usdc=self.remainder_usdc,
            net_deposits_usdc=self.net_deposits_usdc,
            applied=before.applied.added(command_id),
            sequence=before.sequence + 1,
            orders_placed=self.orders_placed,
            mode_sequence=self.mode_sequence,
            mode_since_ms=self.mode_since_ms,
            outage_ended_at_ms=self.outage_ended_at_ms,
            transfers=self.transfers,
            vaults=self.vaults,
            resyncing=self.resyncing,
            at_ms=self.at_ms if before.at_ms is None else max(before.at_ms, self.at_ms),
        )
