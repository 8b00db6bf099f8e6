"""Processes of an earlier release and of this one on one Redis: an update, and the way back, lose nothing."""
