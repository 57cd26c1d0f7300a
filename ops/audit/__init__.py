"""Fold all events, and compare the result with the tables and read models.

Pure:
history.py            events → orders and products; sequences, ids and balances
laws.py               invariants of an order, a product, and a line with its reservation
lines.py              order lines compared with reservations
differences.py        how two values differ                   report.py       the result

With Kafka and MongoDB:
documents.py          the read models                         compare_documents.py    compare them
tables.py             the workers' tables                     compare_tables.py       compare them
event_ids.py          event ids that are not unique           strangers.py            documents without events
settled.py            what is still in flight                 partition.py            one partition
run.py                the whole audit
"""
