"""Who must be signed out and who must not, in plain Python: what the machine holds the real code to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

ISS = "https://op.example/t1"

Verdict = Literal["dead", "live", "either"]
"""`either` where nobody can know: the logout has no answer yet, or nothing links two pairwise subjects."""


@dataclass(frozen=True)
class User:
    """Somebody who signs in.

    Attributes:
        name: Who.
        pairwise: Whether every client is told another `sub`.
        account: Their MSAL account key; None for an OP without `client_info`, where it is the `sub`.
    """

    name: str
    pairwise: bool = False
    account: str | None = None

    def sub(self, client: str) -> str:
        """Their `sub` at one client."""
        return f"{client}-{self.name}" if self.pairwise else self.name

    def account_at(self, client: str) -> str:
        """Their account key in one client's cache."""
        return self.account or self.sub(client)


USERS = (User("alice"), User("bob", account="bob.utid"), User("carol", pairwise=True, account="carol.utid"))


@dataclass
class OPSession:
    """A session at the OP; signing in anew within it gives it a new `auth_time`."""

    user: User
    sid: str | None
    auth_time: int


@dataclass(frozen=True)
class Login:
    """One session of one user at one app.

    Attributes:
        key: The app's session id.
        user: Whose.
        client: Which app.
        sid: Session at the OP; several apps may share it.
        auth_time: When the user authenticated, seconds on the OP's clock.
    """

    key: str
    user: User
    client: str
    sid: str | None
    auth_time: int

    @property
    def sub(self) -> str:
        """The `sub` this app is told."""
        return self.user.sub(self.client)

    @property
    def account(self) -> str:
        """The MSAL account key at this app."""
        return self.user.account_at(self.client)

    def claims(self, iat: int | None = None) -> dict[str, Any]:
        """The ID token's claims; a refreshed one has another `iat` and nothing else."""
        claims = {
            "iss": ISS, "aud": self.client, "sub": self.sub, "sid": self.sid,
            "auth_time": self.auth_time, "iat": self.auth_time if iat is None else iat,
        }  # fmt: skip
        return {name: value for name, value in claims.items() if value is not None}


@dataclass(frozen=True)
class Logout:
    """One logout token.

    Attributes:
        id: Stands for (iss, jti).
        user: Whose it is.
        client: The client it is addressed to.
        sub: Its `sub`.
        sid: Its `sid`.
        user_wide: Whether it ends every session of the user.
        client_only: Whether it counts for `client` alone.
        logout_at: Seconds on the OP's clock.
    """

    id: str
    user: User
    client: str
    sub: str | None
    sid: str | None
    user_wide: bool
    client_only: bool
    logout_at: int


@dataclass
class Oracle:
    """What was promised to whom.

    Attributes:
        acknowledged: Logouts the OP was told 200 for.
        attempted: Those, and those it was told nothing for.
        registered: Sessions the registry took, latest registration of each.
    """

    acknowledged: dict[str, Logout] = field(default_factory=dict)
    attempted: dict[str, Logout] = field(default_factory=dict)
    registered: dict[str, Login] = field(default_factory=dict)
    _linked: dict[str, bool] = field(default_factory=dict)

    def attempt(self, logout: Logout, *, again: bool) -> None:
        """The token reached the receiver; what came of it need not be known.

        Args:
            logout: The token.
            again: Whether an earlier attempt may have come to nothing, so that what was known then may not count.
        """
        if logout.id not in self._linked or again:
            self._linked[logout.id] = self._linked.get(logout.id, True) and self._knows_account(logout)
        self.attempted[logout.id] = logout

    def acknowledge(self, logout: Logout) -> None:
        """The receiver answered 200."""
        self.acknowledged[logout.id] = logout

    def verdict(self, login: Login) -> Verdict:
        """What must be true of a session once everything was heard."""
        verdicts = [
            "dead" if verdict == "dead" and logout.id in self.acknowledged else "either"
            for logout in self.attempted.values()
            if (verdict := self._covers(logout, login)) != "live"
        ]
        return "dead" if "dead" in verdicts else "either" if verdicts else "live"

    def _covers(self, logout: Logout, login: Login) -> Verdict:
        if login.auth_time > logout.logout_at or (logout.client_only and login.client != logout.client):
            return "live"
        if logout.user_wide:
            if login.sub == logout.sub:
                return "dead"
            # The same person under another subject: certain where the registry had seen both claims' account.
            if login.user == logout.user:
                return "dead" if self._linked[logout.id] else "either"
            return "live"
        if logout.sid != login.sid:
            return "live"
        # Under another subject a session is the same one only where the OP's `sid` is all the token names.
        return "dead" if logout.sub in (None, login.sub) else "either"

    def _knows_account(self, logout: Logout) -> bool:
        return any(login.sub == logout.sub and self.verdict(login) == "live" for login in self.registered.values())
