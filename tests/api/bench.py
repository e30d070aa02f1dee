"""The interface on a workbench: requests are driven by hand on one state of the core."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from target_stub.api.messages import Answer, ApiRequest, Look, Send, View
from target_stub.api.records import Records
from target_stub.api.routes import respond
from target_stub.chain import Block
from target_stub.core import (
    ETH_USD_PERP,
    JANUARY_2026,
    Command,
    Event,
    Mode,
    OracleUpdate,
    PublishMarket,
    SetMode,
    Usdc,
    apply,
    genesis,
    seeded,
)

SYMBOL = ETH_USD_PERP.symbol
EPOCH_MS = 1_768_796_874_000
ALICE, BOB = "alice", "bob"


class Bench:
    """One exchange, settled as it is matched, and everything that was sent to it."""

    def __init__(self) -> None:
        balances = {name: Usdc(Decimal(10_000)) for name in (ALICE, BOB)}
        self.state = seeded(genesis(JANUARY_2026, (ETH_USD_PERP,)), balances)
        self.records = Records()
        self.sent: list[Command] = []
        self.seq_no = self.height = self.requests = 0
        self.at_ms = 1_000
        self.do(
            OracleUpdate(
                id="oracle",
                at_ms=0,
                market=SYMBOL,
                spot_usd=Decimal(3_000),
                usdc_price=Decimal("0.5"),
            )
        )
        self.do(
            PublishMarket(
                id="publish",
                at_ms=0,
                market=SYMBOL,
                mark_price=Decimal(3_000),
                funding_index=Decimal(100),
                premium=Decimal("1.5"),
            )
        )
        self.rows: dict[str, Mapping[str, Any]] = {
            SYMBOL: {
                "mark_usd": Decimal(3_000),
                "spot_usd": Decimal(2_999),
                "rate": Decimal("0.0001"),
                "premium_usdc": Decimal("1.5"),
                "funding_index": Decimal(100),
                "funding_at_ms": 5_000,
            }
        }

    def do(self, command: Command) -> tuple[Event, ...]:
        """Apply a command, and let the records follow both logs."""
        self.state, events = apply(self.state, command)
        self.height += 1
        self.records.follow_matching(command.id, command.at_ms, events)
        self.records.follow_chain(Block(self.height, command, events, self.state))
        return events

    def mode(self, mode: Mode) -> None:
        """Change the mode."""
        self.do(SetMode(id=f"mode-{mode}", at_ms=self.at_ms, mode=mode))

    def view(self) -> View:
        """The exchange as a gateway would see it."""
        return View(
            chain=self.state,
            cloud=self.state,
            records=self.records,
            rows=self.rows,
            now_ms=self.at_ms,
            epoch_ms=EPOCH_MS,
            next_seq_no=self.next_seq_no,
        )

    def next_seq_no(self) -> int:
        """One more."""
        self.seq_no += 1
        return self.seq_no

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        account: str | None = ALICE,
        **query: str,
    ) -> Answer:
        """Drive one request to its answer."""
        self.requests += 1
        self.at_ms += 1_000
        steps = respond(
            ApiRequest(
                method=method,
                path=path,
                id=f"request-{self.requests}",
                at_ms=self.at_ms,
                query=query,
                body=body,
                account=account,
            )
        )
        said: Any = None
        while True:
            try:
                step: Look | Send = steps.send(said)
            except StopIteration as done:
                answer: Answer = done.value
                return answer
            if isinstance(step, Send):
                self.sent.append(step.command)
                said = self.do(step.command)
            else:
                said = self.view()

    def listed(self, path: str, *, account: str | None = ALICE, **query: str) -> list[Any]:
        """The entries of a list."""
        answer = self.ask("GET", path, account=account, **query)
        assert answer.status == 200, answer
        results: list[Any] = answer.body["results"]
        return results


def limit(side: str, size: str, price: str, **more: Any) -> dict[str, Any]:
    """The body of a limit order, as paradex-py sends it."""
    return {
        "market": SYMBOL,
        "side": side,
        "size": size,
        "price": price,
        "type": "LIMIT",
        "instruction": "GTC",
        "client_id": "",
        "signature": "",
        "signature_timestamp": EPOCH_MS,
        "recv_window": None,
        "stp": None,
        **more,
    }
