"""For operators: health, the pipeline, dead letters, projections and messages."""
