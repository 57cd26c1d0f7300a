"""The roles: workers that decide commands, and the projector that folds events into read models."""
