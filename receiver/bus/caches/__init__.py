"""The apps' token caches, for the evictor: values read and changed, key changes watched, its index and notes."""
