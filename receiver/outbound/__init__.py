"""Our own HTTP requests to OPs: documents fetched, refresh tokens revoked."""
