"""The streams between the roles: topics, messages, Faust's transport, transactions, settings and tracing."""
