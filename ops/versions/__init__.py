"""Versions of the read models.

deploy.py       build a version beside the live one       verify.py       compare it with the live one
switch.py       promote, roll back, retire                readers.py      check which versions running processes know
listing.py      all versions and their lag                work.py         the database and the registry
comparing.py    a range of documents in two versions      sides.py        how the documents of one version are read
"""
