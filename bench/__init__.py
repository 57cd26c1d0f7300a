"""Benchmarks: `make bench` runs them against a stack of their own and prints a table."""
