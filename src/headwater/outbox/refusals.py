"""What a database says when it does not let a client in: no matter of waiting, so no matter of trying again.

libpq has no codes for a connection that was not made, only text; the server's part of it is in the server's language,
so a refusal that is not known by its text counts as a database that is away, as it always did.
"""

from __future__ import annotations

from headwater.errors import CallerFault, HeadwaterError

_AWAY = "HW-O032"
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


def refused(error: HeadwaterError) -> HeadwaterError:
    """What to raise for a database's error: the same, or the refusal that its text tells.

    >>> from headwater.errors import Unreachable
    >>> away = Unreachable("PostgreSQL does not answer at db:5432/shop", code="HW-O032", detail='connection to server '
    ...     'at "db", port 5432 failed: FATAL:  password authentication failed for user "relay"')
    >>> print(refused(away).message)
    PostgreSQL does not let this client in at db:5432/shop: password authentication failed for user "relay"
    >>> silent = Unreachable("PostgreSQL does not answer at db:5432/shop", code="HW-O032", detail="connection refused")
    >>> refused(silent) is silent
    True
    """
    if error.code != _AWAY:
        return error
    for line in error.detail.splitlines():
        for sign, hint in SIGNS.items():
            if sign in line:
                reason = line.rpartition("failed: FATAL:")[2].rpartition(" port ")[2].partition(" failed: ")
                text = " ".join((reason[2] or reason[0]).split())[:300]
                return CallerFault(
                    f"{error.message.replace('does not answer', 'does not let this client in')}: {text}",
                    code="HW-R016",
                    detail="waiting does not mend it",
                    hint=hint,
                )
    return error
