"""Orders: commands, events, state, and the functions between them."""
