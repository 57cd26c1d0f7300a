"""One flow of commands and events, read from the topics and arranged by cause."""
