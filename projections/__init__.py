"""The read models: pure folds of events into documents, and the MongoDB they are kept in."""
