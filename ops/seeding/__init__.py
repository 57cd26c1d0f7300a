"""Sample data: how it is generated, how it is sent, and the result."""
