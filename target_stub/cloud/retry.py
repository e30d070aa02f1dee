"""Retrying, as every client of the exchange does it: tenacity, on trio's clock."""

from __future__ import annotations

import trio
from tenacity import AsyncRetrying, retry_if_exception, wait_random_exponential

#: Serialization failure, deadlock, read-only, cannot connect now: PostgreSQL's retryable states.
RETRYABLE_STATES = ("40001", "40P01", "25006", "57P03")


def is_retryable(error: BaseException) -> bool:
    """Whether trying again later can help."""
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    return getattr(error, "sqlstate", "") in RETRYABLE_STATES


def retrying() -> AsyncRetrying:
    """The retry policy of the exchange: for ever, with random waits of at most half a second."""
    return AsyncRetrying(
        sleep=trio.sleep,
        retry=retry_if_exception(is_retryable),
        wait=wait_random_exponential(multiplier=0.05, max=0.5),
    )
