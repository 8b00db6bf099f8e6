"""The OPs' keys, fetched, refreshed and shared, and the tokens that wait for them."""
