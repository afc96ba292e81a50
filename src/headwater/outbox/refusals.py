"""What a database says when it does not let a client in: no matter of waiting, so no matter of trying again.

libpq has no codes for a connection that was not made, only text; the server's part of it is in the server's language,
so a refusal that is not known by its text counts as a database that is away, as it always did.
"""

from __future__ import annotations

from headwater.errors import CallerFault

# A part of what libpq or the server says, and what to do about it.
SIGNS = {
    "password authentication failed": "look at user and password of the connection string",
    "no pg_hba.conf entry": "the server takes this user from here not so: look at sslmode, then at its pg_hba.conf",
    "pg_hba.conf rejects": "the server takes this user from here not so: look at sslmode, then at its pg_hba.conf",
    "certificate verify failed": "sslrootcert must name the CA that signed the server's certificate",
    "does not match host name": "connect by a name that the server's certificate bears",
    "root certificate file": "sslrootcert must name a file with the CA's certificate",
    "server does not support SSL": "turn TLS on at the server, or look at sslmode and the port",
    "invalid sslmode value": "sslmode is disable, allow, prefer, require, verify-ca or verify-full",
    "permission denied to start WAL sender": "ALTER ROLE ... REPLICATION for the relay's role",
    "must be superuser or replication role": "ALTER ROLE ... REPLICATION for the relay's role",
}


def refusal(address: str, said: str) -> CallerFault | None:
    """The error for a client that was refused; None where the server may just be away.

    >>> error = refusal("db:5432/shop", 'connection to server at "db", port 5432 failed: FATAL:  password '
    ...                 'authentication failed for user "relay"')
    >>> print(error.message)
    PostgreSQL at db:5432/shop does not let this client in: password authentication failed for user "relay"
    >>> refusal("db:5432/shop", "connection refused") is None
    True
    """
    for line in said.splitlines():
        for sign, hint in SIGNS.items():
            if sign in line:
                reason = line.rpartition("failed: FATAL:")[2].rpartition(" port ")[2].partition(" failed: ")
                text = " ".join((reason[2] or reason[0]).split())[:300]
                return CallerFault(
                    f"PostgreSQL at {address} does not let this client in: {text}",
                    code="HW-R016",
                    detail="waiting does not mend it",
                    hint=hint,
                )
    return None


def unreadable() -> CallerFault:
    """For a connection string that is none. Nothing of it is repeated: a password may stand anywhere in it."""
    return CallerFault(
        "a database's connection string cannot be read",
        code="HW-R017",
        detail="it is neither a postgresql:// address nor words of the form key=value",
        hint="postgresql://user:${PASSWORD}@host:5432/database?sslmode=verify-full; special characters percent-encoded",
    )
