"""Kafka: what one fetch brings, one transaction, and what else brokers are asked."""
