"""Read models and tables, made of the event topics again.

command.py      `fulfillment replay`      bulk.py         a version built from its topic, by several processes
aggregates.py   a few aggregates, in place
tables.py       the workers' tables against the events      rebuild.py   their changelogs, written anew
"""
