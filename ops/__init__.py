"""What operators run: the command line, the local stack, seeding."""
