"""logout-receiver: one durable eviction event for every sign-out, and proof that every app acted on it.

Reading order: `core.eviction` (what leaves us) · `core.tokens.logout_token` (what comes in) · `ingress.inputs` (who
reads it) · `ingress.intake` (where all inputs end) · `bus.events.publish` (how it becomes durable) · `consumer` (how
apps hear of it).
"""

__version__ = "0.1.0"
