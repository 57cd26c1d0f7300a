"""The rules of order fulfilment: pure functions and values, no I/O, no clock, no random numbers."""
