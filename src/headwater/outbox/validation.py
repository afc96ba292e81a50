"""What of functions and trigger an outbox table should have in its database: made by `apply`, compared by `plan`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headwater import naming
from headwater.mesh.products import ResolvedProduct
from headwater.outbox import table as ddl
from headwater.outbox.check_sql import check_routines, trigger_routine
from headwater.outbox.emit_sql import emit_routine, product_routines
from headwater.outbox.routine import Routine

TRIGGER = "headwater_check"


@dataclass(frozen=True, slots=True)
class Validation:
    """The functions of an outbox table in the order in which they are made, and whether a trigger checks its rows."""

    table: str
    routines: tuple[Routine, ...]
    checked: bool

    @property
    def digest(self) -> str:
        """Of all of it: another one where a schema or a product changes."""
        text = "\n".join((self.table, str(self.checked), *(routine.source for routine in self.routines)))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def statements(self) -> tuple[str, ...]:
        """What makes all of it, over whatever is there; to be run in one transaction."""
        drop = f"DROP TRIGGER IF EXISTS {TRIGGER} ON {self.table}"
        create = (
            f"CREATE TRIGGER {TRIGGER} BEFORE INSERT ON {self.table} "
            f"FOR EACH ROW EXECUTE FUNCTION {naming.check_function(self.table)}()"
        )
        return (*(routine.create for routine in self.routines), drop, *((create,) if self.checked else ()))

    def missing(self, sources: Mapping[str, str], *, trigger: bool) -> list[str]:
        """What is not there or not as it should be: names of functions, and the trigger. `sources`: bodies by name."""
        wrong = [routine.name for routine in self.routines if sources.get(routine.name) != routine.source]
        return wrong + ([f"trigger {TRIGGER}"] if trigger != self.checked else [])


def validation_of(table: str, products: Sequence[ResolvedProduct]) -> Validation:
    """What a table should have for its products. One with `validate: relay` has no trigger's check.

    >>> from headwater.testing.source_products import order_events
    >>> [routine.name for routine in validation_of("public.outbox", [order_events()]).routines][:2]
    ['public.outbox_emit', 'public.outbox_check_orders_placed']
    """
    qualified = ddl.quoted(table)
    routines = [emit_routine(qualified)]
    for product in products:
        routines += check_routines(qualified, product)
        routines += product_routines(qualified, product)
    checked = [
        product
        for product in products
        if product.product.outbox is not None and product.product.outbox.validate == "database"
    ]
    if checked:
        routines.append(trigger_routine(qualified, checked))
    return Validation(qualified, tuple(routines), bool(checked))
