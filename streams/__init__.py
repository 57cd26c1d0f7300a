"""What flows between the roles: settings, topics, messages, Faust's transport and the transaction a fetch."""
