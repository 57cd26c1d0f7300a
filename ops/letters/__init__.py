"""Dead letters: read, retried and discarded."""
