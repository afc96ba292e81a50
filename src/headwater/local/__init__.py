"""The local stack: Kafka, PostgreSQL and the registry as plain processes, without containers or root."""
