"""Security events (Shared Signals Framework 1.0): who sends them, what they say, and which users they sign out."""
