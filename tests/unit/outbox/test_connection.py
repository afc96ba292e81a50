"""What is said of a database that cannot be had: where, why, how to mend; never the password."""

from __future__ import annotations

from headwater.outbox.connection_postgres import away

DSN = "postgresql://relay:secret@db.example:5433/shop"


def test_the_address_is_said_and_the_password_is_not() -> None:
    error = away(DSN, "connection refused")
    assert "db.example:5433/shop" in error.message and "secret" not in str(vars(error))
    assert error.hint.startswith("start it")


def test_a_database_that_is_missing_is_to_be_created_not_started() -> None:
    assert away(DSN, 'FATAL:  database "shop" does not exist').hint.startswith("create the database")
