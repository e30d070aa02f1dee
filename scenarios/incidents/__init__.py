"""Incidents of other systems than the reference exchange, each a small true model in one file.

Some were in the news, some are restart bugs of open projects that have a number. What is found in
one of them is a finding about the mechanism that its source describes, never about code that
anybody has read: each says in three lines what happened, what is modelled and what is not.
"""

from __future__ import annotations

from scenarios.incidents import (
    aws_2025,
    base_2025,
    binance_2023,
    bitmex_2021,
    bitmex_2023,
    bnb_node_337,
    deribit_2019,
    dydx_2025,
    eurex_2013,
    github_2018,
    hyperliquid_2025,
    knight_2012,
    nasdaq_2012,
    nautilus_trader_4991,
    nyse_2023,
    qubic_core_421,
    solana_2022,
)

#: All of them, oldest first.
INCIDENTS = (
    nasdaq_2012.INCIDENT,
    knight_2012.INCIDENT,
    eurex_2013.INCIDENT,
    github_2018.INCIDENT,
    bnb_node_337.INCIDENT,
    deribit_2019.INCIDENT,
    bitmex_2021.INCIDENT,
    solana_2022.INCIDENT,
    nyse_2023.INCIDENT,
    bitmex_2023.INCIDENT,
    binance_2023.INCIDENT,
    qubic_core_421.INCIDENT,
    hyperliquid_2025.INCIDENT,
    base_2025.INCIDENT,
    dydx_2025.INCIDENT,
    aws_2025.INCIDENT,
    nautilus_trader_4991.INCIDENT,
)
