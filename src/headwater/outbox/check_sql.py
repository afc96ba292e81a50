"""From a product's Avro schema to plpgsql that says what is wrong with a row, with the field and without the value.

The verdict is the relay's own: what these functions let pass, the relay publishes. A product has one function for the
row, with everything at the top of the record in a single expression, and one more where values have parts of their own:
each such type is a numbered part there, so that a type that contains itself is no matter.
"""

from __future__ import annotations

from headwater import naming
from headwater.mesh.products import ResolvedProduct
from headwater.outbox.check_scalars import quoted, wrong_scalar
from headwater.outbox.routine import Routine
from headwater.schemas.codec import single_object
from headwater.schemas.types import Array, AvroType, Map, Record, Union

_Case = tuple[str, str]  # a condition, and an expression of the text that says what is wrong: path, colon, what


def check_routines(table: str, product: ResolvedProduct) -> list[Routine]:
    """The functions that check rows of a product; `table` is qualified. The first answers null where a row is right.

    >>> from headwater.testing.source_products import order_events
    >>> [routine.name for routine in check_routines("public.outbox", order_events())]
    ['public.outbox_check_orders_placed']
    """
    parts = _Parts(naming.check_function(table, product.name, part=True))
    output = product.output
    record = output.payload_schema.type
    assert isinstance(record, Record)
    name = output.schema.name
    header = single_object(output.payload_schema.fingerprint, b"").hex()
    cases = [
        (f"type IS DISTINCT FROM {quoted(name)}", quoted(f"type: it is not the product's schema, {name}")),
        ("kind IS NULL OR kind NOT IN ('assert', 'correct', 'retract')", "'kind: none of assert, correct, retract'"),
        ("revision IS NULL OR revision < 1", "'revision: below 1'"),
        ("num_nonnulls(payload, payload_avro) <> 1", "'payload: it is either in payload or in payload_avro'"),
    ]
    avro = [
        (
            f"payload_avro IS NOT NULL AND (length(payload_avro) < 10 OR substr(payload_avro, 1, 10) <> '\\x{header}')",
            "'payload_avro: not the single-object encoding of the product''s payload schema'",
        )
    ]
    json = parts.record_cases(record, "payload", top=True)
    missing = [
        (f"NOT payload ? {quoted(field)}", quoted(f"{field}: missing, and part of the key")) for field in _key(product)
    ]
    key = (f"aggregateid IS DISTINCT FROM {key_expression(product)}", "'aggregateid: it is not the record''s key'")
    body = f"""
BEGIN
  IF payload IS NULL THEN
    RETURN {_case([*cases, *avro])};
  END IF;
  RETURN {_case([*cases, *json, *missing, key])};
END"""
    parameters = "type text, aggregateid text, kind text, revision bigint, payload jsonb, payload_avro bytea"
    row = Routine(naming.check_function(table, product.name), parameters, "text", body, volatility="IMMUTABLE")
    return [row, *parts.routines()]


def key_expression(product: ResolvedProduct) -> str:
    """The record's key as text, from `payload`: what `ports/keys.key_text` says of the same JSON.

    >>> from headwater.testing.source_products import stock_facts
    >>> key_expression(stock_facts())
    "'[' || (payload -> 'place')::text || ',' || (payload -> 'article')::text || ']'"
    """
    key = _key(product)
    if len(key) == 1:
        return f"(payload ->> {quoted(key[0])})"
    return "'[' || " + " || ',' || ".join(f"(payload -> {quoted(name)})::text" for name in key) + " || ']'"


def trigger_routine(table: str, products: list[ResolvedProduct]) -> Routine:
    """The trigger's function: each row by its product; one of a product that is not checked passes."""
    row = "NEW.type, NEW.aggregateid, NEW.kind, NEW.revision, NEW.payload, NEW.payload_avro"
    whens = "\n".join(
        f"    WHEN {quoted(str(product.name))} THEN wrong := {naming.check_function(table, product.name)}({row});"
        for product in products
    )
    body = f"""
DECLARE wrong text;
BEGIN
  CASE NEW.aggregatetype
{whens}
    ELSE RETURN NEW;
  END CASE;
  IF wrong IS NOT NULL THEN
    RAISE EXCEPTION '%: %', NEW.aggregatetype, wrong USING ERRCODE = 'check_violation',
      HINT = 'give the value that the product''s schema asks for; headwater schema shows it';
  END IF;
  RETURN NEW;
END"""
    return Routine(naming.check_function(table), "", "trigger", body, volatility="VOLATILE")


class _Parts:
    """The types of values that have parts, each with a number in one function that calls itself."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._numbers: dict[AvroType, int] = {}
        self._bodies: dict[int, str] = {}

    def routines(self) -> list[Routine]:
        """None where no value has parts."""
        if not self._bodies:
            return []
        branches = "".join(f"  IF part = {number} THEN\n{body}\n  END IF;\n" for number, body in self._bodies.items())
        body = f"""
DECLARE one jsonb; wrong text;
BEGIN
{branches}  RAISE EXCEPTION 'no part %', part;
END"""
        return [Routine(self._name, "v jsonb, part int", "text", body, volatility="IMMUTABLE")]

    def record_cases(self, record: Record, value: str, *, top: bool) -> list[_Case]:
        """What may be wrong with an object; field by field, each with its place in the text."""
        cases: list[_Case] = [(f"jsonb_typeof({value}) <> 'object'", self._said("", "not an object", top))]
        for field in record.fields:
            item = f"({value} -> {quoted(field.name)})"
            if not field.optional:
                missing = self._said(field.name, "missing, and without a default", top)
                cases.append((f"{item} IS NULL", missing))
            for condition, text in self._cases(field.type, item):
                prefix = field.name if top else f".{field.name}"
                guarded = f"{item} IS NOT NULL AND ({condition})" if field.optional else condition
                cases.append((guarded, f"{quoted(prefix)} || {text}"))
        names = ", ".join(quoted(field.name) for field in record.fields)
        rest = f"({value} - ARRAY[{names}]::text[])"
        cases.append((f"{rest} <> '{{}}'", self._said("", "a field that the schema does not have", top)))
        return cases

    def _said(self, field: str, what: str, top: bool) -> str:
        path = field if top or not field else f".{field}"
        return quoted(f"{path}: {what}" if path or not top else f"payload: {what}")

    def _cases(self, avro_type: AvroType, value: str) -> list[_Case]:
        if isinstance(avro_type, Union):
            branches = [branch for branch in avro_type.branches if branch.kind != "null"]
            if len(branches) == 1:
                cases = self._cases(branches[0], value)
                if len(branches) == len(avro_type.branches):
                    return cases
                return [(f"jsonb_typeof({value}) <> 'null' AND ({condition})", text) for condition, text in cases]
        elif not isinstance(avro_type, Record | Array | Map):
            condition, what = wrong_scalar(avro_type, value)
            return [(condition, quoted(f": {what}"))]
        call = f"{self._name}({value}, {self._number(avro_type)})"
        return [(f"{call} IS NOT NULL", call)]

    def _number(self, avro_type: AvroType) -> int:
        number = self._numbers.get(avro_type)
        if number is None:
            number = self._numbers[avro_type] = len(self._numbers)
            self._bodies[number] = self._body(avro_type)
        return number

    def _body(self, avro_type: AvroType) -> str:
        if isinstance(avro_type, Record):
            return f"    RETURN {_case(self.record_cases(avro_type, 'v', top=False))};"
        if isinstance(avro_type, Array | Map):
            inner = avro_type.items if isinstance(avro_type, Array) else avro_type.values
            kind, what = ("array", "an array") if isinstance(avro_type, Array) else ("object", "an object")
            each = "jsonb_array_elements(v)" if isinstance(avro_type, Array) else "jsonb_each(v)"
            column = "e" if isinstance(avro_type, Array) else "e.value"
            return f"""    IF jsonb_typeof(v) <> '{kind}' THEN
      RETURN ': not {what}';
    END IF;
    FOR one IN SELECT {column} FROM {each} e LOOP
      wrong := {_case(self._cases(inner, "one"))};
      IF wrong IS NOT NULL THEN
        RETURN wrong;
      END IF;
    END LOOP;
    RETURN NULL;"""
        assert isinstance(avro_type, Union)
        lines = []
        for branch in avro_type.branches:
            wrong = " OR ".join(f"({condition})" for condition, _ in self._cases(branch, "v"))
            lines.append(f"    IF NOT ({wrong}) THEN\n      RETURN NULL;\n    END IF;")
        return "\n".join([*lines, "    RETURN ': fits no branch of the union';"])


def _key(product: ResolvedProduct) -> tuple[str, ...]:
    return product.output.output.key


def _case(cases: list[_Case]) -> str:
    return "CASE " + "\n    ".join(f"WHEN {condition} THEN {text}" for condition, text in cases) + " END"
