"""The way to Redis: URLs, credentials, connections to one server, Sentinel or Cluster, what a server can do."""
