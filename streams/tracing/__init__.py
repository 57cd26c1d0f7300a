"""OpenTelemetry: spans from correlation and causation ids."""
