"""The eviction events: published, read by one process or a group, acknowledged, searched and traced."""
