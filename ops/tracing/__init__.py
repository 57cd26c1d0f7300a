"""One flow of commands and events, read from the topics and put together by what caused what."""
