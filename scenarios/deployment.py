"""Which parts of the exchange a scenario runs."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Which parts run besides those that the incident of January needs.

    ``own_book``: matching tells its books, the mark price is made from them too, and the chain
    hears the oracle. ``staged_modes``: mode control walks by itself, and the chain decides.
    ``bridge``: an outside chain and the bridge to it. ``fair_width``: how far from the external
    fair price a mark may be for the shadow to believe it, as a fraction; None: within the band of
    the market.
    """

    own_book: bool = False
    staged_modes: bool = False
    bridge: bool = False
    fair_width: Decimal | None = None


JANUARY = Deployment()
