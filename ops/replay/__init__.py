"""Rebuild read models and tables from the event topics.

read_models.py  rebuild a read model, as a whole or in part     bulk.py         build a version with several processes
aggregates.py   rewrite the documents of some aggregates        memory.py       answers, letters and positions of tables
tables.py       compare the workers' tables with the events     rebuild.py      rebuild their changelogs
comparing.py    one partition of that comparison
"""
