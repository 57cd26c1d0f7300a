"""Stock: commands, events, state, and the functions between them."""
