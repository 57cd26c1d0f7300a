"""What messages look like, as JSON Schema: what today's code has, what is committed, and what lies between."""
