"""The demonstration: a global sign-out seen from outside, on real parts, with one command.

Two Flask apps sign in with MSAL Python and share one token cache in Redis; a small OpenID Provider signs
users in and out; the receiver runs as it would for a user. Nothing is imitated: real Redis, real TLS, really
signed tokens, separate processes. It is no part of what apps install; only tests import it.

Reading order: `story` (what is shown) · `stage` (what runs) · `webapp` (what an app team writes) · `op` (the OP).
"""

from demo.run import run_demo

__all__ = ["run_demo"]
