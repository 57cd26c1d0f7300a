"""Fold all events, and compare the result with the tables and read models.

Pure:
history.py            events → orders and products; sequences, ids and balances
laws.py               invariants of an order, a product, and a line with its reservation
lines.py              order lines compared with reservations
differences.py        how two values differ                   report.py       the result

On disk:
plan.py               what is audited, and what is done       buckets.py      what partitions exchange
groups.py             events of a partition, by aggregate

With Kafka and MongoDB:
documents.py          the read models                         compare_documents.py    compare them
tables.py             the workers' tables                     compare_tables.py       compare them
entries.py            the entries of event logs               strangers.py            documents without events
event_ids.py          event ids that are not unique           settled.py              what is still in flight
partition.py          one partition                           patience.py             the time to wait for projections
parts.py              everything that one process makes       tallies.py              counts of documents by kind
run.py                the whole audit
"""
