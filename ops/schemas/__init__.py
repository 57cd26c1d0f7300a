"""JSON Schemas of all messages: those of the code, the committed ones in docs/schemas, and their differences."""
