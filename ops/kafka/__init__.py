"""Read topics, send commands and manage consumer groups.

records.py reads topics and offsets for all commands.
"""
