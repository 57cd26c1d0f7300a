"""Live events: one reader of Kafka a process, and everybody who listens."""
