import socket

import pytest

from flyball.lab.load.target import (
    ExternalAddressError,
    GuardedResolver,
    InvalidTargetError,
    check_internal,
    endpoint_url,
    is_internal,
)


@pytest.mark.parametrize(
    ("base", "api", "url"),
    [
        ("http://127.0.0.1:8000", "completions", "http://127.0.0.1:8000/v1/completions"),
        ("http://127.0.0.1:8000/", "chat", "http://127.0.0.1:8000/v1/chat/completions"),
        ("http://gateway/llama/v1", "completions", "http://gateway/llama/v1/completions"),
        ("https://[fd00::1]:8443/v1/", "chat", "https://[fd00::1]:8443/v1/chat/completions"),
    ],
)
def test_the_endpoint_stands_under_the_base_url(base: str, api: str, url: str) -> None:
    assert endpoint_url(base, api) == url


@pytest.mark.parametrize(
    "base",
    ["127.0.0.1:8000", "ftp://127.0.0.1", "http://", "http://a:99999", "http://[::1", "http://h?x=1", "http://u:p@h"],
)
def test_what_is_no_base_url_is_refused(base: str) -> None:
    with pytest.raises(InvalidTargetError, match=r"is not a URL|more than a host and a path"):
        endpoint_url(base, "chat")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "10.96.0.1",
        "172.31.0.1",
        "192.168.1.1",
        "100.64.0.9",
        "::1",
        "fd00::1",
        "::ffff:10.0.0.1",
    ],
)
def test_loopback_and_private_addresses_are_internal(address: str) -> None:
    assert is_internal(address)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "172.32.0.1",
        "192.0.2.1",
        "0.0.0.0",
        "169.254.169.254",
        "2001:db8::1",
        "::ffff:8.8.8.8",
        "fe80::1%eth0",
    ],
)
def test_all_others_are_external(address: str) -> None:
    assert not is_internal(address)


@pytest.mark.parametrize("url", ["http://192.0.2.1/v1", "http://[2001:db8::1]:80/"])
async def test_an_external_address_is_refused_with_the_way_out(url: str) -> None:
    with pytest.raises(
        InvalidTargetError, match=r"neither this machine nor a private or cluster address.*--allow-external"
    ):
        await check_internal(url)


async def test_loopback_passes() -> None:
    await check_internal("http://127.0.0.1:1/v1/completions")


def answer(*addresses: str) -> object:
    return lambda *_args, **_more: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in addresses]


async def test_a_name_with_one_external_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answer("10.0.0.1", "192.0.2.7"))
    with pytest.raises(InvalidTargetError, match=r"llm.example \(192.0.2.7\) is neither"):
        await check_internal("http://llm.example/")
    with pytest.raises(ExternalAddressError, match=r"llm\.example is 192\.0\.2\.7"):
        await GuardedResolver().resolve("llm.example", 80)


async def test_a_name_inside_the_cluster_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answer("10.96.3.4"))
    await check_internal("http://gateway.flyball.svc/")
    assert [result["host"] for result in await GuardedResolver().resolve("gateway.flyball.svc", 80)] == ["10.96.3.4"]


async def test_a_name_that_does_not_resolve_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_more: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(
        InvalidTargetError, match=r"nowhere does not resolve \(Name or service not known\); check --url"
    ):
        await check_internal("http://nowhere/")
