"""What a columnar road raises where it leaves rows to the row road. Needs none of the libraries that columns need."""

from __future__ import annotations


class Unsure(Exception):
    """Some row of these may not fit, and it is not known which: let the row road look at all of them."""
