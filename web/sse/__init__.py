"""Server-sent events: one Kafka reader in each process serves all of its listeners."""
