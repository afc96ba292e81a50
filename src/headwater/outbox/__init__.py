"""The road in: an outbox row becomes a record, exactly once and in commit order."""
