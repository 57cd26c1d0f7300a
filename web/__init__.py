"""HTTP: commands in, outcomes and read models out."""
