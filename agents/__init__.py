"""The effects: Faust agents that decide commands, manage the process and project events."""
