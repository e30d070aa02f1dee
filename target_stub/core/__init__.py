"""The pure, sequential, exact exchange: the oracle that every restartable service is judged by.

``apply(state, command)`` gives the next state and the events; everything else here describes what
goes in and what comes out. Nothing in this package reads a clock, draws a random number, uses a
float or knows the harness.
"""

from target_stub.core.commands import (
    CancelAll,
    CancelOrder,
    Command,
    CreateAccount,
    Deposit,
    FundingTick,
    HealthCheck,
    Liquidate,
    OracleUpdate,
    PlaceOrder,
    PublishMarket,
    SetMode,
    SettleTrade,
    TriggerCheck,
    Withdraw,
)
from target_stub.core.digest import digest
from target_stub.core.errors import InconsistentSeed, Missing, Reason
from target_stub.core.events import Duplicate, Event, Filled, FillType, Liquidated, Rejected
from target_stub.core.exchange import apply, apply_all
from target_stub.core.margin import Health, MarketPrice, Prices, Rules, assess, is_due
from target_stub.core.money import Usd, Usdc
from target_stub.core.orders import (
    Account,
    Instruction,
    Order,
    OrderKind,
    Position,
    Side,
    Trigger,
)
from target_stub.core.parameters import (
    AFTER_INCIDENT,
    BTC_USD_PERP,
    ETH_USD_PERP,
    JANUARY_2026,
    LIQUIDATOR_VAULT,
    PAXG_USD_PERP,
    ExchangeSpec,
    FundingProfile,
    MarketSpec,
    Mode,
)
from target_stub.core.session import Session
from target_stub.core.state import Market, SeedPosition, State, genesis, seeded

__all__ = [
    "AFTER_INCIDENT",
    "BTC_USD_PERP",
    "ETH_USD_PERP",
    "JANUARY_2026",
    "LIQUIDATOR_VAULT",
    "PAXG_USD_PERP",
    "Account",
    "CancelAll",
    "CancelOrder",
    "Command",
    "CreateAccount",
    "Deposit",
    "Duplicate",
    "Event",
    "ExchangeSpec",
    "FillType",
    "Filled",
    "FundingProfile",
    "FundingTick",
    "Health",
    "HealthCheck",
    "InconsistentSeed",
    "Instruction",
    "Liquidate",
    "Liquidated",
    "Market",
    "MarketPrice",
    "MarketSpec",
    "Missing",
    "Mode",
    "OracleUpdate",
    "Order",
    "OrderKind",
    "PlaceOrder",
    "Position",
    "Prices",
    "PublishMarket",
    "Reason",
    "Rejected",
    "Rules",
    "SeedPosition",
    "Session",
    "SetMode",
    "SettleTrade",
    "Side",
    "State",
    "Trigger",
    "TriggerCheck",
    "Usd",
    "Usdc",
    "Withdraw",
    "apply",
    "apply_all",
    "assess",
    "digest",
    "genesis",
    "is_due",
    "seeded",
]
