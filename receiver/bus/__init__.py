"""Redis: every key name, script and command of this project lives in this room."""
