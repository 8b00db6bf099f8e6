"""Find and remove one account in an MSAL token-cache blob (the unified schema every MSAL library writes).

Rules, each learnt from what the libraries really write:

* The fields of an entry are authoritative, not its dictionary key: key composition differs by library.
* `environment` does not say whose an entry is: libraries write different aliases of the same host.
* Every client's entries go: a refresh token left behind for another client signs the user in again.
* Removing the `Account` node alone is useless; MSAL still answers from the tokens.
* Application tokens carry no `home_account_id` and are never touched.
* MSAL4J writes no `home_account_id` at all for an OP that sends no `client_info`: there the client's ID token
  names the owner of the tokens, and application tokens are told from user tokens by what they were granted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from receiver.core.layouts import foreign_json
from receiver.core.layouts.cached_sign_in import CachedSignIn, from_claims, id_token_claims, is_too_long, seconds, text
from receiver.errors import BadValueError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

Key = TypeVar("Key")

Blob = dict[str, dict[str, dict[str, Any]]]
"""`{"AccessToken": {key: {"home_account_id": str, "client_id": str, "secret": str, …}}, "RefreshToken": …}`"""

CREDENTIALS = ("AccessToken", "RefreshToken", "IdToken")
ACCOUNT = "Account"
JUDGED = frozenset({*CREDENTIALS, ACCOUNT})
SECTIONS = JUDGED | {"AppMetadata"}

MAX_ENTRIES = 50_000
"""Entries of one cache. One that 10,000 users share has about 40,000."""

# Core §3.1.2.1, §5.4, §11: `openid`, `profile` and `offline_access` are asked for on behalf of a user.
USER_SCOPES = frozenset({"openid", "profile", "offline_access"})
"""Scopes only a user's tokens are granted."""


class Holder(NamedTuple):
    """The owner of entries: one client, for one account.

    Attributes:
        account: `home_account_id`; None where MSAL4J wrote none.
        client_id: The app.
    """

    account: str | None
    client_id: str | None


class RefreshToken(NamedTuple):
    """A refresh token that was removed, to be revoked if that is configured."""

    client_id: str
    secret: str


RefreshTokens = dict[Holder, list[RefreshToken]]
_At = tuple[str | None, str]
"""An account, and the host of its OP."""


class Left(NamedTuple):
    """What is left of a serialised cache.

    Attributes:
        serialised: The new value.
        holds_tokens: Whether a credential or an account is in it still.
        removed: How many entries were removed.
        refresh_tokens: Those among them, by their owner.
        pieces: The bytes of each entry that was removed, key and value, in the order of the text.
    """

    serialised: bytes
    holds_tokens: bool
    removed: int
    refresh_tokens: RefreshTokens
    pieces: list[bytes]


def parse(serialised: str | bytes, problems: set[str] | None = None) -> Blob:
    """The sections of a serialised cache that hold credentials and accounts, with every entry that can be judged.

    An empty value is an empty cache, as it is for MSAL. What is no section, or no entry that names its user, is left
    out: it keeps none of the others from being judged.

    Args:
        serialised: JSON.
        problems: What was left out is added, in one word: `shape` or `long_name`.

    Raises:
        BadValueError: not JSON, beyond a limit, or nothing in it is as MSAL writes it (encrypted, or foreign).
    """
    return from_json(foreign_json.parse(serialised) if serialised else {}, problems)


def from_json(value: object, problems: set[str] | None = None) -> Blob:
    """As `parse`, of a value that was parsed already."""
    if not isinstance(value, dict):
        raise BadValueError("shape")
    blob: Blob = {}
    odd = set()
    for name, section in value.items():
        entries = section if isinstance(section, dict) else {}
        if entries is not section:
            odd.add("shape")
        elif name in JUDGED:
            odd |= {problem for entry in entries.values() if (problem := _problem(entry))}
            sound = {key: entry for key, entry in entries.items() if not _problem(entry)} if odd else entries
            if sound or not entries:
                blob[name] = sound
    if not blob and (odd or (value and not value.keys() & SECTIONS)):
        raise BadValueError("shape")
    if problems is not None:
        problems |= odd
    if sum(map(len, blob.values())) > MAX_ENTRIES:
        raise BadValueError("too_many")
    return blob


def without(serialised: str | bytes, holders: Collection[Holder]) -> Left:
    """A serialised cache without these holders' entries; every byte of the others as it was.

    Raises:
        BadValueError: as of `parse`.
    """
    text = foreign_json.decode(serialised)
    objects = list(foreign_json.objects_in(text, JUDGED)) if text else []
    entries = [(name, member.begin, member.content) for name, members in objects for member in members]
    # An entry that cannot be judged may be another user's.
    gone, refresh_tokens = _entries_of([entry for entry in entries if not _problem(entry[2])], holders)
    cut = foreign_json.without_members(serialised, [members for _, members in objects], {begin for _, begin in gone})
    return Left(cut.serialised, len(entries) > len(gone), len(gone), refresh_tokens, cut.pieces)


def emptied(serialised: str | bytes, holders: Collection[Holder]) -> RefreshTokens | None:
    """The refresh tokens that go with these holders, if nothing of value is left without them; None if `without` tells.

    Raises:
        BadValueError: as of `parse`.
    """
    # Only counted here. Which bytes go need not be known when the key goes as a whole.
    text, problems = foreign_json.decode(serialised), set[str]()
    blob = parse(text, problems)
    entries = [(name, key, entry) for name in JUDGED for key, entry in blob.get(name, {}).items()]
    gone, refresh_tokens = _entries_of(entries, holders)
    # In a text the same key may come twice, and all but the last are hidden behind it.
    is_all = len(gone) == len(entries) == text.count('"home_account_id"')
    return refresh_tokens if is_all and not problems else None


def accounts(blob: Blob) -> set[str]:
    """Every `home_account_id` that holds anything in this blob."""
    entries = (entry for section in JUDGED for entry in blob.get(section, {}).values())
    return {entry["home_account_id"] for entry in entries if entry.get("home_account_id")}


def sign_ins(blob: Blob, problems: set[str] | None = None) -> dict[Holder, list[CachedSignIn]]:
    """What the blob says of each client's sign-in of each account, from its ID tokens and the age of its tokens.

    A holder without ID token has one entry that knows the account only, and so has an account without any token, which
    is no client's. Application tokens have no holder.

    Args:
        blob: The parsed cache.
        problems: `long_name` is added where a claim is too long to be taken as a name.
    """
    oldest: dict[Holder, float] = {}
    found: dict[Holder, list[CachedSignIn]] = {}
    for name in CREDENTIALS:
        for entry in blob.get(name, {}).values():
            holder = _holder(entry)
            if holder.account is not None:
                found.setdefault(holder, [])
            # The oldest tells: a refresh writes one token anew and leaves those for other scopes.
            cached_at = seconds(entry.get("cached_at"))
            if name == "AccessToken" and cached_at is not None:
                oldest[holder] = min(cached_at, oldest.get(holder, cached_at))
    for entry in blob.get("IdToken", {}).values():
        holder = _holder(entry)
        claims = id_token_claims(entry.get("secret"))
        if claims is None:
            continue
        sign_in = from_claims(claims, client_id=holder.client_id, account=holder.account, problems=problems)
        if sign_in is not None:
            found.setdefault(holder, []).append(sign_in)
    # MSAL's `get_accounts` answers from these nodes alone, so that an account without a token still looks signed in to
    # its app.
    with_tokens = {holder.account for holder in found}
    for entry in blob.get(ACCOUNT, {}).values():
        if (account := _holder(entry).account) not in with_tokens and account is not None:
            found[Holder(account, None)] = []
    return {
        holder: [sign_in.with_oldest_token(oldest.get(holder)) for sign_in in known or [_unnamed(holder)]]
        for holder, known in found.items()
    }


def remove(blob: Blob, holders: Collection[Holder]) -> tuple[int, list[RefreshToken]]:
    """Remove these holders' access, refresh and ID tokens in place, and the accounts nothing is left of.

    Returns:
        How many entries were removed, and the refresh tokens among them.
    """
    entries = [(name, key, entry) for name in JUDGED for key, entry in blob.get(name, {}).items()]
    gone, refresh_tokens = _entries_of(entries, holders)
    for section, key in gone:
        del blob[section][key]
    return len(gone), [token for of_holder in refresh_tokens.values() for token in of_holder]


def remove_account(blob: Blob, home_account_id: str, *, logout_at: int | None = None) -> int:
    """Remove one account's access, refresh and ID tokens and account, for every client, in place.

    Args:
        blob: The parsed cache; other accounts and all unknown sections stay as they are.
        home_account_id: The account, compared exactly.
        logout_at: NumericDate seconds. A client with an ID token that says the user authenticated later
            (`auth_time`; never `iat`, which every refresh renews) keeps its entries. None removes all.

    Returns:
        How many entries were removed; 0 when the account was not there.
    """
    return remove(blob, holders_ended(blob, home_account_id, logout_at=logout_at))[0]


def holders_ended(blob: Blob, home_account_id: str, *, logout_at: int | None = None) -> set[Holder]:
    """The owners of the entries that `remove_account` removes."""
    return {
        holder
        for holder, known in sign_ins(blob).items()
        if holder.account == home_account_id
        and (logout_at is None or not any((sign_in.auth_time or 0) > logout_at for sign_in in known))
    }


def _entries_of(
    entries: Iterable[tuple[str, Key, dict[str, Any]]], holders: Collection[Holder]
) -> tuple[list[tuple[str, Key]], RefreshTokens]:
    """Which entries, each with its section and a key, are these holders'."""
    gone, of_accounts, refresh_tokens = [], [], RefreshTokens()
    hosts_gone, hosts_left = set[_At](), set[_At]()
    for name, key, entry in entries:
        if name == ACCOUNT:
            of_accounts.append((key, _at(entry)))
            continue
        holder = _holder(entry)
        if holder not in holders or (holder.account is None and not _is_users(name, entry)):
            hosts_left.add(_at(entry))
            continue
        hosts_gone.add(_at(entry))
        if name == "RefreshToken" and isinstance(entry.get("secret"), str) and holder.client_id:
            refresh_tokens.setdefault(holder, []).append(RefreshToken(holder.client_id, entry["secret"]))
        gone.append((name, key))
    # An account without tokens would still be in MSAL's `get_accounts`, and the app would take the user for signed in.
    # While another client has tokens of it, it is that client's, too, but for another host's user who is called alike.
    accounts_gone = {holder.account for holder in holders} - {account for account, _ in hosts_left}
    hosts_gone -= hosts_left
    gone += [(ACCOUNT, key) for key, at in of_accounts if at[0] and (at[0] in accounts_gone or at in hosts_gone)]
    return gone, refresh_tokens


def _problem(entry: object) -> str:
    """Why the owner of this entry cannot be told, in one word; empty where it can, or where it is no user's."""
    if not isinstance(entry, dict):
        return "shape"
    # An application's own token has no account, and MSAL writes null or nothing for it.
    whose = (entry.get("home_account_id"), entry.get("client_id"))
    if all(value is None or value == "" or text(value) is not None for value in whose):
        return ""
    return "long_name" if any(map(is_too_long, whose)) else "shape"


def _unnamed(holder: Holder) -> CachedSignIn:
    return CachedSignIn(account=holder.account, client_ids=(holder.client_id,) if holder.client_id else ())


def _holder(entry: dict[str, Any]) -> Holder:
    # Missing, null and empty are one: libraries differ in how they write none.
    return Holder(entry.get("home_account_id") or None, entry.get("client_id"))


def _at(entry: dict[str, Any]) -> _At:
    return entry.get("home_account_id"), str(entry.get("environment"))


def _is_users(section: str, entry: dict[str, Any]) -> bool:
    """Whether an entry without account is a user's, not the application's own."""
    if section != "AccessToken":
        return True
    # MSAL4J leaves the account out for every token of an OP without `client_info`. Client credentials are granted an
    # API's scopes (`/.default`), and never these.
    granted = entry.get("target")
    scopes = granted.split() if isinstance(granted, str) else granted
    return isinstance(scopes, list) and any(scope in USER_SCOPES for scope in scopes if isinstance(scope, str))
