"""The settings of the evictor: the caches it clears, and how it goes about it."""

from __future__ import annotations

import string
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from receiver.core.layouts import LAYOUTS, TEMPLATE_FIELDS, Layout, LayoutName, Per
from receiver.errors import ConfigurationError
from receiver.ops.redis_settings import EMBEDDED, RedisSettings
from receiver.ops.sections import Section

MAX_INDEX_SECRETS = 2
"""Secrets of the index at once: one to write with, and the one before. Each is a further look-up for every logout."""

MIN_INDEX_SECRET_CHARS = 32
"""Shortest of these secrets, in characters: a shorter one can be found by trying."""

CacheName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class CacheSettings(Section):
    """One shared cache in Redis."""

    name: CacheName = Field(description="Label in logs and metrics: lower-case letters, digits, hyphens.")
    layout: LayoutName = Field(description=f"Who writes it: {', '.join(LAYOUTS)}. See docs/caches.md.")
    prefix: str | None = Field(
        None,
        description="What its keys begin with: InstanceName, key prefix, namespace. Default: the stack's own, where it "
        "has one. An empty one means every key of that Redis database.",
    )
    key: str | None = Field(
        None,
        description="In place of a prefix: the one key that all users share (msal4j, msal-python), or for `keyed` a "
        "template of {account}, {sub}, {sid}, {iss}, {client_id}, {tenant}.",
    )
    per: Per | None = Field(
        None,
        description="Whether one value is a `user`'s, or a `session`'s of theirs. Default: as the layout has it. "
        "From a `user`'s value a session's logout removes all sign-ins that are not newer.",
    )
    tenants: list[str] | None = Field(
        None, min_length=1, description="Names of the tenants with users in it. Default all."
    )
    index: bool = Field(
        True,
        description="Read the values, to learn their users and to catch what is written back. False clears only "
        "keys that are registered or follow from the account.",
    )
    account_links: bool | None = Field(
        None,
        description="Whether an ID token beside an MSAL account names the account's user: this is how a pairwise "
        "`sub` is resolved. Default true for MSAL's caches, false for web sessions, where a visitor's own text could "
        "name another user's account. True needs sessions that hold none.",
    )
    redis: RedisSettings | None = Field(None, description="Where it is. Default: the section `redis`.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.prefix is not None and self.key is not None:
            raise ValueError("set prefix or key, not both")
        if self.layout == "keyed":
            _check_template(self.key)
        elif self.key is not None and not self.shape.shares_keys:
            raise ValueError(f"key: the layout {self.layout} has a key for each session; set prefix")
        elif self.key is None and self.prefix is None and self.shape.prefix is None:
            raise ValueError(f"the layout {self.layout} needs prefix, or key where all users share one")
        if self.redis is not None and self.redis.url == EMBEDDED:
            raise ValueError("redis.url: a cache is not in an embedded Redis; name the one the apps use")
        return self

    @property
    def shape(self) -> Layout:
        """What the layout's name stands for, as far as nothing else is set."""
        layout = LAYOUTS[self.layout]
        return layout if self.account_links is None else replace(layout, account_links=self.account_links)

    @property
    def effective_prefix(self) -> str:
        """What its keys begin with."""
        return self.prefix if self.prefix is not None else self.shape.prefix or ""


class EvictorSettings(Section):
    """How `receiver evict` works."""

    recheck_s: list[float] = Field(
        [2.0, 10.0, 60.0],
        description="Seconds after an eviction at which its keys are looked at again, ascending: a refresh in flight "
        "writes tokens back. Kept in Redis, so they outlive any worker. Empty never looks again.",
    )
    in_flight_s: float = Field(
        120.0,
        gt=0,
        description="Seconds in which what comes back without proof of its age counts as written back, not as a new "
        "sign-in. Longer than the apps' longest request.",
    )
    clock_skew_s: float = Field(
        60.0,
        ge=0,
        le=600,
        description="Seconds the clocks of OPs, receivers and apps may differ. Longer takes more of what came back for "
        "a new sign-in.",
    )
    rescan_s: float = Field(
        3600.0,
        gt=0,
        description="Seconds between two readings of all caches, which repair what notifications missed. Without "
        "notifications this is how long a value can go unnoticed.",
    )
    read_within_s: float = Field(
        30.0,
        ge=0,
        description="Seconds a logout waits for a reading of all caches of which Redis tells no writes; past it the "
        "acknowledgement says unknown. 100,000 values take some 20 seconds. 0 never reads for a logout.",
    )
    take_over_s: float = Field(
        60.0,
        gt=0,
        description="Seconds without a sign of life after which another worker takes over a worker's evictions. Less "
        "than a worker may stand still costs double work, nothing else.",
    )
    index_keep_s: int = Field(
        30 * 86_400,
        ge=3600,
        description="Seconds that the place of a user's account is remembered after it was last seen.",
    )
    index_secret: SecretStr | None = Field(
        None,
        description="Secret that keys the names in the index, so that a visitor of an app cannot make names that fall "
        "together. The same for receivers and evictors. Two lines, the new one first, while it is changed. See "
        "docs/operations.md.",
    )
    index_secret_file: Path | None = Field(None, description="File holding that secret; read at start.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if any(delay <= 0 for delay in self.recheck_s) or self.recheck_s != sorted(self.recheck_s):
            raise ValueError("recheck_s must be positive and ascending")
        if self.index_secret is not None:
            parse_index_secrets(self.index_secret.get_secret_value())
        return self

    @property
    def index_secrets(self) -> list[str]:
        """The secrets in force, the one to write with first; empty without any.

        Raises:
            ConfigurationError: the file cannot be read, or `parse_index_secrets` refuses what is in it.
        """
        text = self.secret_in("index_secret")
        try:
            return [] if text is None else parse_index_secrets(text)
        except ValueError as error:
            raise ConfigurationError(f"evictor.{error}") from error


def _check_template(template: str | None) -> None:
    try:
        parts = [part[1:] for part in string.Formatter().parse(template or "") if part[1] is not None]
    except ValueError as error:
        raise ValueError(f"key: not a template: {error}") from error
    names = [name or "" for name, _, _ in parts]
    if any(layout or conversion for _, layout, conversion in parts):
        raise ValueError("key: a field of the template is its name in braces, nothing else")
    if strange := sorted(set(names) - TEMPLATE_FIELDS):
        known = ", ".join(sorted(TEMPLATE_FIELDS))
        raise ValueError(f"key: {{{strange[0]}}} is not one of {known}; a brace of the key itself is written twice")
    if not {"account", "sid", "sub"} & set(names):
        raise ValueError("the layout keyed needs a key that names {account}, {sub} or {sid}")


def parse_index_secrets(text: str) -> list[str]:
    """The secrets of the evictor's index, one a line: the one to write with, and below it the one before.

    Raises:
        ValueError: none, more than two, a short one, or the same twice. None is quoted.
    """
    secrets = [line.strip() for line in text.splitlines() if line.strip()]
    if not 1 <= len(secrets) <= MAX_INDEX_SECRETS:
        raise ValueError(f"index_secret: {len(secrets)} lines; one secret, or the new one and below it the one before")
    if len(set(secrets)) != len(secrets):
        raise ValueError("index_secret: the same secret stands twice")
    if min(map(len, secrets)) < MIN_INDEX_SECRET_CHARS:
        raise ValueError(
            f"index_secret: a secret is at least {MIN_INDEX_SECRET_CHARS} characters; `openssl rand -hex 32` makes one"
        )
    return secrets
