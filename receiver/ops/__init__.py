"""Settings, logs and metrics: what an operator sees and sets."""
