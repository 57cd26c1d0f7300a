"""What operators ask: health, the pipeline, dead letters, projections, messages."""
