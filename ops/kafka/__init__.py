"""What operators do with Kafka: read topics, send commands, reset groups."""
