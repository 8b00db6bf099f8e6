"""HTTP in: the listeners, the OPs' keys, and what happens to one logout."""
