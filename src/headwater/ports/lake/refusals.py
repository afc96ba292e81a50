"""What the lake refuses, and why: each is a writer that stops loudly where going on would lose or repeat records."""

from __future__ import annotations

from headwater.errors import CallerFault, Fault, HeadwaterError, NotSupported, Unreachable


def overtaken(table: str) -> CallerFault:
    """Another writer has moved the table on."""
    return CallerFault(
        f"another writer moved the table {table} on; this one stops",
        code="HW-I001",
        detail="its rows are there already, or will be by the other one; what this one wrote and no snapshot names is "
        "removed",
        hint="run one writer for a table; start this one once the other is gone: it begins where the table stands",
    )


def made_anew(table: str, topic: str) -> CallerFault:
    """The topic is another one than the table was filled from."""
    return CallerFault(
        f"the topic {topic} is not the one that the table {table} was filled from",
        code="HW-I002",
        detail="it was made anew, or another cluster has one of its name: the offsets of the table mean nothing in it",
        hint="point the writer at the cluster it has read; or set the table aside, and let apply make a new one",
    )


def beyond(table: str, place: str, offset: int, end: int) -> CallerFault:
    """The table has read offsets that the topic does not have."""
    return CallerFault(
        f"the table {table} has read {place} up to offset {offset}, and the topic ends at {end}",
        code="HW-I003",
        detail="the topic lost its end, by a broker that came back without it; what is written there now has offsets "
        "that the table holds for read",
        hint="find out what the broker lost; then set the table aside, and let apply make a new one",
    )


def removed(table: str, place: str, count: int) -> CallerFault:
    """Retention was faster than the writer."""
    return CallerFault(
        f"{count} offsets of {place} were removed before the table {table} had them",
        code="HW-I004",
        detail="retention removes what is old, read or not; going on would leave a gap that nobody sees",
        hint="run the writer more often than the topic's retention is long; the gap can be filled from a backup only",
    )


def not_there(table: str) -> CallerFault:
    """Nothing but `apply` makes tables."""
    return CallerFault(
        f"there is no table {table} in the lake",
        code="HW-I005",
        detail="nothing but apply creates",
        hint="put lake among the ports of the output, then headwater apply",
    )


def classified(product: str) -> CallerFault:
    """A product that nobody may see cannot lie in files that all may read."""
    return CallerFault(
        f"{product} is not for the lake",
        code="HW-I006",
        detail="it is classed above internal, or its key is personal: files are read without asking anybody",
        hint="take lake from its ports, or give it a key that is not personal",
    )


def no_library() -> CallerFault:
    """The extra `lake` is not installed."""
    return CallerFault(
        "the lake needs PyIceberg, which is not installed",
        code="HW-I007",
        detail="topics, SQL and HTTP do without",
        hint="pip install 'headwater[lake]'",
    )


def rewriting(table: str, column: str, before: str, after: str) -> NotSupported:
    """A change of type that Iceberg knows only by writing everything anew."""
    return NotSupported(
        f"the column {column} of the table {table} cannot become {after}",
        code="HW-I008",
        detail=f"it is {before}; a table takes wider integers, floats and decimals without being written anew, and no "
        "other change of type",
        hint="raise the major version of the product: a new table is made for it",
    )


def unreadable_progress() -> Fault:
    """The properties of a snapshot are not as they were written."""
    return Fault(
        "a snapshot's progress cannot be read",
        code="HW-I009",
        detail="its properties begin with headwater. and are not as Headwater writes them",
        hint="find out who writes to the table beside Headwater; roll the table back to the snapshot before",
    )


def without_progress(table: str) -> CallerFault:
    """Rows, and nobody knows from where."""
    return CallerFault(
        f"the table {table} has snapshots, and none of them says how far it has read",
        code="HW-I010",
        detail="somebody else wrote it, or expired the snapshots that said so; beginning anew would repeat all records",
        hint="expire snapshots by headwater lake maintain, which keeps the newest of these; roll the table back to one",
    )


def unreadable_record(table: str, place: str, offset: int, why: str) -> CallerFault:
    """A value that cannot be decoded stops the writer, unless it was told otherwise."""
    return CallerFault(
        f"{place}, offset {offset} cannot be decoded, so the table {table} stands still before it",
        code="HW-I011",
        detail=f"{why}; all that lies before it is committed",
        hint="tell the owner of the product; headwater lake run --unreadable skip passes over such values, and counts "
        "them in each snapshot",
    )


def undecided(table: str, detail: str) -> Unreachable:
    """Nobody knows yet whether a commit is in the table; the table will tell."""
    return Unreachable(
        f"the catalogue of the table {table} does not answer as it should",
        code="HW-I012",
        detail=detail,
        hint="nothing is lost or repeated: the writer looks at the table again before it goes on",
    )


def taken_name(product: str, field: str) -> CallerFault:
    """A field has the name of a column of ours."""
    return CallerFault(
        f"{product} has a field '{field}', and that is a column of every table of the lake",
        code="HW-I013",
        detail="topic, partition and offset of each record stand in columns that begin with headwater_",
        hint="name the field otherwise, or take lake from the output's ports",
    )


def behind(table: str, what: str) -> CallerFault:
    """The contract went on, and the table did not."""
    return CallerFault(
        f"the table {table} does not have the columns of its contract: {what}",
        code="HW-I014",
        detail="the schema was changed and not applied; rows would lose what has no column",
        hint="headwater apply",
    )


def not_of_the_lake(product: str) -> CallerFault:
    """The contract has no port `lake`."""
    return CallerFault(
        f"{product} is not in the lake",
        code="HW-I015",
        detail="an output is in the lake where its contract says so",
        hint="ports: [topic, lake] at the output in product.yaml, then headwater apply",
    )


def catalogue_setting(detail: str) -> HeadwaterError:
    """`lake` of an environment cannot be used."""
    return CallerFault(
        "the lake's catalogue cannot be opened with these settings",
        code="HW-I016",
        detail=detail,
        hint="see docs/concepts/lake.md for what environments.…lake in mesh.yaml may say",
    )
