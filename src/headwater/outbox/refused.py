"""A change that its mapping could not make into records, on its way to quarantine as a row whose type says why; pure.

The row's payload is the change as the log had it, so that it is kept whole.
"""

from __future__ import annotations

from headwater.errors import Misfit

_TYPE = b"headwater.refused:"


def refused_type(misfit: Misfit) -> bytes:
    """The row's type: that it is no record, with the code and the field."""
    return _TYPE + f"{misfit.code}:{misfit.field}".encode()


def refusal(type_: bytes | None) -> Misfit | None:
    """The reason that a row's type carries; None where the row is not a refused change.

    >>> refusal(refused_type(Misfit("a message", code="HW-O149", field="price"))).field
    'price'
    >>> refusal(b"flights.departures.Departure")
    """
    if type_ is None or not type_.startswith(_TYPE):
        return None
    code, _, field = type_[len(_TYPE) :].decode().partition(":")
    return Misfit("the change could not be mapped", code=code, field=field)
