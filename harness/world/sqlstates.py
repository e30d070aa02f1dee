"""The errors of the simulated database, named and numbered as PostgreSQL has them.

A target tells them apart by ``sqlstate``, as it would with any real driver, and never by class:
it does not import the harness.
"""

from __future__ import annotations


class DatabaseError(Exception):
    """A statement failed, and with it the transaction that it was part of."""

    sqlstate = "XX000"


class SerializationFailure(DatabaseError):
    """Two transactions cannot both have happened; this one should be tried again."""

    sqlstate = "40001"


class DeadlockDetected(DatabaseError):
    """Two or more transactions waited for each other's rows; this one gave way."""

    sqlstate = "40P01"


class ReadOnly(DatabaseError):
    """A write was sent to a database, or in a transaction, that only reads."""

    sqlstate = "25006"


class TransactionAborted(DatabaseError):
    """A statement was sent in a transaction that an earlier error had ended."""

    sqlstate = "25P02"


class Unavailable(DatabaseError, ConnectionError):
    """The database is away, or went away under an open transaction."""

    sqlstate = "57P03"
