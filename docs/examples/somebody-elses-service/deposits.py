"""A deposit of 50 arrives."""

import psycopg

with psycopg.connect() as database:  # it finds PostgreSQL at PGHOST and PGPORT
    database.execute("update accounts set balance = balance + 50 where name = 'ann'")
