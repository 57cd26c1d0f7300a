"""Checks of an installation, each with its result and a remedy."""
