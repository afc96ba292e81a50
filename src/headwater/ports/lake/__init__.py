"""The `lake` port: every record of a product in an Iceberg table, once, for whoever reads such tables."""
