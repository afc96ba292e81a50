"""`headwater schema infer`: the schema that a flow gives, so that nobody writes down again what the flow says."""

from __future__ import annotations

from typing import Annotated

import typer


def infer(
    product: Annotated[str, typer.Argument(metavar="PRODUCT", help="Its name, as airports.hourly_punctuality.")],
) -> None:
    """Print the Avro schema of what a product's flow gives. Its schema file need not be there; nothing is written.

    Whole numbers are longs. Words that only a person can say, such as docs and tags, are for you to add.
    """
    from headwater.cli import console
    from headwater.mesh.load import schema_path
    from headwater.naming import ProductName
    from headwater.processing.infer import inferred_schema
    from headwater.settings import load_settings

    name = ProductName.parse(product)
    schema = inferred_schema(load_settings().mesh_folder, name)
    console.print_json(schema)
    console.err().print(f"its file is {schema_path(name, str(schema['name']))}", markup=False)
