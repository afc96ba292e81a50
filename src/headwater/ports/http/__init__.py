"""The `http` port: as-of answers, histories, snapshots and feeds, for whoever speaks HTTP."""
