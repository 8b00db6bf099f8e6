"""The worker that clears shared token caches and sessions in Redis, whoever wrote them, and keeps them cleared."""
