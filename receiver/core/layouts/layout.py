"""What a cache layout is: which keys are its, what is in a value, and what the value is without one of its users."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from receiver.core.layouts.foreign_json import MAX_BYTES
from receiver.core.layouts.msal_cache import Holder, RefreshToken
from receiver.errors import BadValueError

if TYPE_CHECKING:
    from receiver.core.layouts.cached_sign_in import CachedSignIn

Per = Literal["session", "user"]

Raw = Mapping[str, bytes]
"""A value as it is in Redis: fields of a hash, or the one field `STRING`; empty where only the key counts."""

STRING = ""
"""Stands for the name of a field where the value is a string."""

WHOLE = Holder(None, None)
"""Stands for all of a value that cannot be divided."""

TOO_LARGE = "too_large"
"""Problem of a value that is beyond `MAX_BYTES`, and is not looked into at all."""

ORDINARY = {"not_json", "shape"}
"""Reasons why a value cannot be read that say nothing bad of it: it is encrypted, compressed or another program's."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value that was read.

    Attributes:
        raw: Its bytes.
        holders: Its sign-ins, by the owner of the entries; empty when it says nothing.
        readable: Whether it could be looked into; an empty readable value is no user's.
        bears_signature: Whether it looks as its stack writes it, so that it may be deleted although it cannot be read.
        is_torn: Whether it is what is left of a session that a request saved after it had been deleted.
        problems: Why it, or part of it, was passed over, each in one word.
        error: An exception that had not been foreseen, where that is why.
        refresh_tokens: Those that are gone when all of it is.
    """

    raw: Raw
    holders: Mapping[Holder, list[CachedSignIn]]
    readable: bool
    bears_signature: bool = True
    is_torn: bool = False
    problems: frozenset[str] = frozenset()
    error: Exception | None = field(default=None, compare=False, repr=False)
    refresh_tokens: tuple[RefreshToken, ...] = field(default=(), repr=False)

    @property
    def is_partial(self) -> bool:
        """Whether more sign-ins are in it than were looked at."""
        return "too_many" in self.problems

    @property
    def sign_ins(self) -> list[CachedSignIn]:
        """All of them."""
        return self.sign_ins_of({WHOLE})

    def sign_ins_of(self, holders: Collection[Holder]) -> list[CachedSignIn]:
        """Those of these holders; `WHOLE` is all of them."""
        all_of_it = WHOLE in holders
        return [one for holder, known in self.holders.items() if all_of_it or holder in holders for one in known]

    @property
    def accounts(self) -> set[str]:
        """Every account named in it."""
        return {sign_in.account for sign_in in self.sign_ins if sign_in.account is not None}


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a value.

    Attributes:
        new: What its first field is to be; None when the key is to be deleted.
        refresh_tokens: Those that are gone with it, by their owner.
        cut: How Redis can do it to a value that others have changed meanwhile; None where it cannot.
    """

    new: bytes | None
    refresh_tokens: Mapping[Holder, Sequence[RefreshToken]] = field(default_factory=dict)
    cut: Cut | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """Some users' own part of a value, to be taken out of it while everything around it may change.

    Attributes:
        pieces: The bytes of every member that goes, in the order of the value.
        accounts: By account, how many entries in the value name it. Another number is a sign-in in between.
    """

    pieces: Sequence[bytes]
    accounts: Mapping[bytes, int]


@dataclass(frozen=True, kw_only=True)
class Layout(ABC):
    """One layout. Values are data: nothing is ever deserialised but JSON.

    Attributes:
        fields: What is read of a value: `(STRING,)` of a string; names of fields of a hash, the one with the value
            first; None for all fields of a hash; `()` where only the key counts, of any type.
        swaps: Whether a value is exchanged only if it is still as it was read. Not where a request could as well
            have written it after the deletion.
        is_read: Whether values are looked into at all.
        shares_keys: Whether all users may share one key.
        prefix: What the stack's keys begin with unless it is told otherwise; None where it has no such default.
        below: What is between prefix and name in the keys that hold values.
        apps_own: What the keys end with that hold an application's own tokens, which are no user's; empty for none.
        key_is_account: Whether a key is the prefix and MSAL's `home_account_id`.
        signs_text: Whether the signature is a form of encryption that any program may use for a string.
        per: Whether one value is all a user has here, or one session of theirs.
        account_links: Whether an ID token beside an account names the account's user. A web session may hold a
            visitor's own text: it identifies the session, and links no account.
    """

    fields: ClassVar[tuple[str, ...] | None] = (STRING,)
    swaps: ClassVar[bool] = True
    is_read: ClassVar[bool] = True
    shares_keys: ClassVar[bool] = False
    signs_text: ClassVar[bool] = False

    prefix: str | None = None
    below: str = ""
    apps_own: str = ""
    key_is_account: bool = False
    per: Per = "user"
    account_links: bool = True

    @abstractmethod
    def read(self, raw: Raw) -> Value:
        """Look into a value.

        Raises:
            BadValueError: it cannot be read, or is beyond a limit.
        """

    @abstractmethod
    def bears_signature(self, raw: Raw) -> bool:
        """Whether a value looks as the stack writes it, by what is visible without reading it."""

    def without(self, value: Value, _ended: Collection[Holder]) -> Change:
        """The value when these holders' entries are gone: by default it goes as a whole."""
        return Change(None, {WHOLE: value.refresh_tokens})

    def open(self, raw: Raw) -> Value:
        """Look into a value; encrypted, compressed and foreign ones are not readable. Never raises."""
        try:
            # Asked here, of all fields together: a layout that reads several would take as many times the limit.
            if sum(map(len, raw.values())) > MAX_BYTES:
                raise BadValueError(TOO_LARGE)  # noqa: TRY301  # as `read` does
            value = self.read(raw)
        except BadValueError as error:
            value = Value(raw, {}, readable=False, problems=frozenset({error.reason} - ORDINARY))
        except Exception as error:  # noqa: BLE001  # the limits are the defence; this one is for what they do not know
            value = Value(raw, {}, readable=False, problems=frozenset({"error"}), error=error)
        # Only what cannot be read is asked for its signature: a readable value says itself whose it is.
        return value if value.readable else replace(value, bears_signature=self.bears_signature(raw))

    def is_name(self, _name: str) -> bool:
        """Whether the stack may have named a value so: what cannot be read under another name is another program's."""
        return True

    def is_beside(self, name: str) -> bool:
        """Whether a key below the prefix, given without it, is the stack's own bookkeeping and no value."""
        return bool(self.apps_own) and name.endswith(self.apps_own)

    def index_of(self, _prefix: str, _user: str) -> str | None:
        """The set in which the stack itself keeps the names of a user's values; None where it keeps none."""
        return None

    def name_in(self, _member: bytes) -> str | None:
        """The name of a value, as it is in that set; None for one that is none."""
        return None

    def kept_beside(self, _prefix: str, _names: Iterable[str]) -> list[str]:
        """Keys that go when the values of these names are gone."""
        return []
