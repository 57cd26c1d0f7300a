"""The local stack: Kafka, MongoDB and the workers on one machine."""
