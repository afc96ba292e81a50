"""Words: Avro schemas, what may follow what, bytes, and the registry."""
