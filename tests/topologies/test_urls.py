"""URLs and options: what is understood, what is refused, and that no password is ever named."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
import redis

from receiver.bus.link.connection import check_url, connect
from receiver.bus.link.primary import Primary, cluster_question
from receiver.bus.link.urls import RedisURL
from receiver.errors import ConfigurationError
from receiver.ops.redaction import redacted
from receiver.ops.settings import Settings
from tests.docs.pages import blocks, read

PARSES_PROTOCOL = tuple(map(int, redis.__version__.split(".")[:2])) >= (6, 3)


@pytest.mark.parametrize(
    ("url", "options", "text"),
    [
        ("redis+sentinel://a:1,b:2", {}, "has no master name"),
        ("redis+sentinel://a:1,,b:2/m", {}, "between the commas is empty"),
        ("redis+sentinel://a:1/m/x", {}, "database number"),
        ("redis+cluster://a:1/3", {}, "0 on a Cluster"),
        ("redis+cluster://a:port", {}, "a port is not a number"),
        ("redis+cluster://a:1?db=3", {}, "nothing may follow"),
        ("redis+cluster://a:1,[::1:2", {}, "not understood"),
        ("redis+cluster://a:1,::1", {}, "in brackets"),
        ("redis+cluster://a:1, b:2", {}, "not understood"),
        ("redis+cluster://[one]:1", {}, "not an IPv6 address"),
        ("redis+cluster://a:70000", {}, "a port is not a number"),
        ("redis://a,b", {}, "several hosts need"),
        ("redis://", {}, "has no host"),
        ("redis://:hunter2@", {}, "has no host"),
        ("redis://me:hunter2/@a", {}, "percent-encoded"),
        ("redis://me:hunter2#@a", {}, "percent-encoded"),
        ("redis://a/first", {}, "database number"),
        ("redis://a?db=first", {}, "'db'"),
        ("redis://a?db=1&db=2", {}, "'db'"),
        ("redis://a?foo=bar", {}, "'foo' is not one of db, client_name, protocol"),
        ("redis://a?decode_responses=true", {}, "'decode_responses' is not one of"),
        ("rediss://a?ssl_cert_reqs=none", {}, "certificates are always verified"),
        ("rediss://a?ssl_check_hostname=false", {}, "names are always verified"),
        ("rediss://a?ssl_ca_certs=ca.pem", {}, "use redis.ca_file"),
        ("redis://a?socket_timeout=9", {}, "use redis.timeout_s"),
        ("redis://a?password=hunter2", {}, "use redis.password_file"),
        ("redis://a?protocol=4", {}, "'protocol'"),
        ("unix:///path?password=hunter2", {}, "use redis.password_file"),
        ("redis+sentinel://a/m?decode_responses=true", {}, "nothing may follow"),
        ("unix://", {}, "has no path"),
        ("unix://host/path", {}, "has no host"),
        ("redis+other://a:1", {}, "scheme"),
        ("localhost", {}, "scheme"),
        ("redis://a", {"ca_file": "ca.pem"}, "is not rediss"),
        ("rediss://a", {"cert_file": "c.pem"}, "go together"),
        ("redis://a", {"sentinel_password": "hunter2"}, "is for Sentinel"),
        ("redis://a", {"credentials": "entra"}, "must be rediss"),
        ("rediss://:hunter2@a", {"credentials": "entra"}, "takes no password"),
    ],
)
def test_refused(url: str, options: dict[str, Any], text: str) -> None:
    """Each mistake is named, the password is not."""
    with pytest.raises(ConfigurationError, match=text) as caught:
        check_url(url, **options)
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    ("hosts", "nodes"),
    [
        ("one", [("one", 26379)]),
        ("One.Example:1,two:2", [("one.example", 1), ("two", 2)]),
        ("one,[::1]:7000", [("one", 26379), ("::1", 7000)]),
        ("[::1]:7000,one", [("::1", 7000), ("one", 26379)]),
        ("[::1],[fe80::2%25eth0]:7000", [("::1", 26379), ("fe80::2%eth0", 7000)]),
    ],
)
@pytest.mark.parametrize(
    ("user_info", "access"),
    [
        ("", (None, None)),
        ("me@", ("me", None)),
        (":secret@", (None, "secret")),
        ("me:p%40s%3As%2F%23%25@", ("me", "p@s:s/#%")),
        ("me:a@b:c[1]@", ("me", "a@b:c[1]")),
        ("m%65%5B:%5Bx%5D@", ("me[", "[x]")),
    ],
)
def test_hosts_and_user(
    hosts: str, nodes: list[tuple[str, int]], user_info: str, access: tuple[str | None, str | None]
) -> None:
    """Names, IPv6 addresses and ports in any order, behind any user and password, encoded or not."""
    parsed = RedisURL.parse(f"redis+sentinel://{user_info}{hosts}/mymaster/0")
    assert (tuple(nodes), access) == (parsed.nodes, (parsed.username, parsed.password))


def test_sentinel_url() -> None:
    """User and password are Redis's, the Sentinels get their own, and all of it is verified over TLS."""
    url = "rediss+sentinel://me:p%40ss@one,[::1]:7000/my%20master/2"
    client = connect(url, timeout_s=1, sentinel_username="looker")
    options = client.connection_pool.connection_kwargs
    assert ("me", "p@ss", 2) == (options["username"], options["password"], options["db"])
    assert ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "my master") == options["primary"].question.command
    search = options["primary"].search()
    assert [("one", 26379), ("::1", 7000)] == [next(search), search.send(None)]
    asking = options["asking"]
    assert ("looker", None, True) == (asking["username"], asking["password"], asking["tls"].get().check_hostname)


def test_cluster_url() -> None:
    """The nodes of a Cluster are asked as the same user; TLS is off without `rediss`."""
    client = connect("redis+cluster://me:p%40ss@[::1]:7000,two", timeout_s=1)
    asking = client.connection_pool.connection_kwargs["asking"]
    assert ("me", "p@ss") == (asking["username"], asking["password"])
    assert "tls" not in asking
    assert (("::1", 7000), ("two", 6379)) == RedisURL.parse("redis+cluster://me@[::1]:7000,two/0").nodes


@pytest.mark.parametrize(
    ("url", "options", "expected"),
    [
        ("redis://one", {}, {"host": "one", "username": None}),
        ("REDIS://one:1/2", {}, {"host": "one", "port": 1, "db": 2}),
        ("redis://one?db=3&client_name=me", {}, {"host": "one", "db": 3, "client_name": "me"}),
        ("redis://one?protocol=3", {}, {"protocol": 3 if PARSES_PROTOCOL else "3"}),
        ("redis://me:a@b[1]@[::1]:7000/0", {}, {"host": "::1", "port": 7000, "username": "me", "password": "a@b[1]"}),
        ("redis://me:old@one", {"password": "new"}, {"username": "me", "password": "new"}),
        ("redis://old:secret@one", {"username": "new"}, {"username": "new", "password": "secret"}),
        ("unix:///run/redis.sock?db=4", {}, {"path": "/run/redis.sock", "db": 4}),
        ("unix://me:secret@/run/redis.sock", {}, {"path": "/run/redis.sock", "username": "me", "password": "secret"}),
    ],
)
def test_single_server(url: str, options: dict[str, Any], expected: dict[str, Any]) -> None:
    """Host, database and user get through to the client; a user or password given beside the URL counts."""
    given = connect(url, timeout_s=1, **options).connection_pool.connection_kwargs
    assert expected == {name: given.get(name) for name in expected}


@pytest.mark.parametrize("strict", [True, False])
def test_strictness_of_tls(*, strict: bool) -> None:
    """Trust and names are verified in any case; `strict_tls: false` gives up no more than what Python 3.13 added."""
    context = connect("rediss://one", timeout_s=1, strict_tls=strict).connection_pool.connection_kwargs["tls"].get()
    default = ssl.create_default_context().verify_flags
    assert (ssl.CERT_REQUIRED, True) == (context.verify_mode, context.check_hostname)
    assert (default if strict else default & ~ssl.VERIFY_X509_STRICT) == context.verify_flags


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://one", "redis://one"),
        ("redis://me:hunter2@one/0?client_name=hunter2", "redis://me:***@one/0?***"),
        ("redis+sentinel://:hunter2@one,[::1]:7000/m/0", "redis+sentinel://:***@one,[::1]:7000/m/0"),
        ("unix://me@/run/redis.sock", "unix://me@/run/redis.sock"),
    ],
)
def test_shown_without_secrets(url: str, shown: str) -> None:
    """`config show` prints where Redis is, and neither passwords nor queries."""
    assert shown == redacted(Settings(redis={"url": url}))["redis"]["url"]


def test_prefix_without_braces() -> None:
    """On a Cluster all keys must share a slot."""
    with pytest.raises(ConfigurationError, match="braces"):
        _ = connect("redis+cluster://a:1", timeout_s=1, prefix="logout")


def test_failed_primary_is_believed_last() -> None:
    """A node that still names the failed primary is asked last and believed only if nobody knows better."""
    primary = Primary((("a", 1), ("b", 2)), *[cluster_question("{logout}")] * 2)
    old, new = [[0, 16383, [b"a", 1]]], [[0, 16383, [b"", 2], [b"a", 1]]]
    search = primary.search()
    assert ("a", 1) == next(search)
    with pytest.raises(StopIteration) as found:
        search.send(old)
    assert ("a", 1) == found.value.value
    primary.lost(("a", 1))
    search = primary.search()
    assert ("b", 2) == next(search)
    with pytest.raises(StopIteration) as found:
        search.send(new)
    assert ("b", 2) == found.value.value
    primary.lost(("b", 2))
    search = primary.search()
    assert ("a", 1) == next(search)
    assert ("b", 2) == search.send(ConnectionError())
    with pytest.raises(StopIteration) as found:
        search.send(new)
    assert ("b", 2) == found.value.value


@pytest.mark.parametrize("name", ["standalone", "sentinel", "cluster", "tls", "azure"])
def test_examples_are_good_settings(name: str) -> None:
    """Every example of docs/redis.md is accepted."""
    import yaml

    [example] = blocks(read("redis.md"), f"yaml redis-{name}")
    assert Settings(**yaml.safe_load(example)).redis.url.partition("://")[0] in example


def test_wait_must_fit() -> None:
    """Waiting for replicas must end before the command is given up."""
    with pytest.raises(ValueError, match="wait_timeout_s must be less"):
        Settings(redis={"wait_replicas": 1, "wait_timeout_s": 1.0})
