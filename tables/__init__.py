"""The state the agents own, in changelog-backed Faust tables."""
