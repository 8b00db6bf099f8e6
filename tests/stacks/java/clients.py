"""msal4j clients in the driver, as a test uses them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Literal, Self

from tests.stacks.java.driver import Driver, Refused

if TYPE_CHECKING:
    from concurrent.futures import Future

    from tests.stacks.java.world import World
    from tests.stacks.op import StackOP

Kind = Literal["entra", "oidc", "b2c"]

_numbers = itertools.count(1)


class Listener:
    """The Java listener with its module for msal4j, started with `with`."""

    def __init__(self, driver: Driver, redis_url: str) -> None:
        self._driver = driver
        self._redis_url = redis_url
        self.name = f"listener-{next(_numbers)}"

    def has_heard_of(self, client: Client, user: str) -> bool:
        """Whether every cache has acted on a sign-out of this user."""
        return bool(self._driver.do("msal.heard", listener=self.name, sub=client.op.sub(user, "portal")))

    def __enter__(self) -> Self:
        assert self._driver.do("msal.listen", listener=self.name, redis=self._redis_url)
        return self

    def __exit__(self, *_: object) -> None:
        self._driver.do("msal.deaf", listener=self.name)


class Client:
    """One msal4j client of `portal` with its tokens under `key`.

    Args:
        kind: How it is told of the OP.
        listener: Guards the cache, where given; else the cache aspect is the plain one of msal4j's documentation.
        long: Whether one object serves all calls; else each call makes one.
    """

    def __init__(
        self,
        driver: Driver,
        world: World,
        op: StackOP,
        key: str,
        *,
        kind: Kind,
        listener: Listener | None = None,
        long: bool = False,
    ) -> None:
        self.op = op
        self.key = key
        self._world = world
        self._kind = kind
        self._driver = driver
        self._name = f"client-{next(_numbers)}"
        self._do(
            "client",
            kind=kind,
            authority=op.b2c_authority if kind == "b2c" else op.authority,
            redis=world.redis_url,
            key=key,
            client_id="portal",
            ca_file=str(op.ca_file),
            long=long,
            **({"listener": listener.name} if listener else {}),
        )

    def account(self, user: str) -> str | None:
        """The user's `home_account_id` here; None where msal4j makes none."""
        if not self.op.client_info:
            return None
        return self.op.account(user) + ("-b2c_1_signin" if self._kind == "b2c" else "")

    def sign_in(self, user: str) -> str:
        """Redeem a code; the access token."""
        return str(self._do("redeem", code=self.op.code(user, "portal"))["token"])

    def silent(self, user: str) -> str | None:
        """The silent call: a token, or None when the user has to sign in."""
        try:
            return str(self._do("silent", account=self.account(user))["token"])
        except Refused as refused:
            if str(refused) in {"cache_miss", "java.lang.IllegalStateException: no_account"}:
                return None
            raise

    def begin_refresh(self, user: str) -> Future[Any]:
        """The silent call that refreshes, not waited for."""
        return self._driver.begin("msal.silent", client=self._name, account=self.account(user), refresh=True)

    def app_token(self) -> str:
        """A token of the client's own, from the cache if it is there."""
        return str(self._do("app"))

    def memory(self) -> str:
        """What the client object holds."""
        return str(self._do("memory"))

    def stored_secrets(self) -> set[str]:
        """Every token under the key."""
        blob = self._world.blob(self.key)
        return {entry["secret"] for section in blob.values() for entry in section.values() if "secret" in entry}

    def accounts(self) -> set[str]:
        """The accounts it would offer."""
        return set(self._do("accounts"))

    def _do(self, what: str, **members: Any) -> Any:
        return self._driver.do(f"msal.{what}", client=self._name, **members)
