"""`fulfillment audit`: the event log folded again, and compared with what the system believes.

history.py      events → orders and products as they make them; sequences, ids and movements of stock
laws.py         what must hold of one order, of one product, and of a line of both
lines.py        order lines and reservations against each other
report.py       what was found
— pure so far; from here on with the world —
documents.py    the read models            tables.py     the workers' tables
settled.py      what is still in flight    partition.py  one partition, all of it
run.py          the whole                  show.py       for people
"""
