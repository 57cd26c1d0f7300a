"""Export an installation as compressed NDJSON with a manifest, and import it into an empty one.

cut.py         which records belong to one moment of a running system    files.py       lines, files and the manifest
exporting.py   write an archive                                          importing.py   read one back
empty.py       refuse an installation with data
"""
