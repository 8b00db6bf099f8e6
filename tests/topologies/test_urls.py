"""URLs and options: what is understood, what is refused, and that no password is ever named."""

from __future__ import annotations

from typing import Any

import pytest

from receiver.bus.connection import check_url, connect_sync
from receiver.bus.primary import Primary, cluster_question
from receiver.errors import ConfigurationError
from receiver.ops.settings import Settings
from tests.docs.pages import blocks, read


@pytest.mark.parametrize(
    ("url", "options", "text"),
    [
        ("redis+sentinel://a:1,b:2", {}, "has no master name"),
        ("redis+sentinel://a:1,,b:2/m", {}, "between the commas is empty"),
        ("redis+sentinel://a:1/m/x", {}, "database number"),
        ("redis+cluster://a:1/3", {}, "0 on a Cluster"),
        ("redis+cluster://a:port", {}, "a port is not a number"),
        ("redis+cluster://a:1?db=3", {}, "nothing after it"),
        ("redis+other://a:1", {}, "scheme"),
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


def test_several_hosts() -> None:
    """User and password are decoded and are Redis's, ports have defaults, a host may be an IPv6 address."""
    client = connect_sync("rediss+sentinel://me:p%40ss@one,[::1]:7000/my%20master/2", timeout_s=1)
    options = client.connection_pool.connection_kwargs
    assert ("me", "p@ss", 2) == (options["username"], options["password"], options["db"])
    assert ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "my master") == options["primary"].question.command
    search = options["primary"].search()
    assert [("one", 26379), ("::1", 7000)] == [next(search), search.send(None)]
    assert (None, True) == (options["asking"]["password"], options["ssl_check_hostname"])


def test_prefix_without_braces() -> None:
    """On a Cluster all keys must share a slot."""
    with pytest.raises(ConfigurationError, match="braces"):
        connect_sync("redis+cluster://a:1", timeout_s=1, prefix="logout")


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
