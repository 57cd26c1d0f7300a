"""`fulfillment seed`, piece by piece: what it makes, how it sends it, what it shows."""
