"""Signed tokens: their form, encryption, keys and signatures, and the rules on their header and claims as one table."""
