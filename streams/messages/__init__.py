"""Messages: the envelope, the codec, and strict reading of commands."""
