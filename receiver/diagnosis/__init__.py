"""What an operator asks when a logout does not arrive: is this token good, is my set-up sound, what is published.

Facts are gathered first, judged by pure functions, and printed last. Every verdict on a token is the
service's own; this room only adds the reasons.
"""
