"""The error for a NATS server that doesn't answer."""

import pytest

from kit.nats import NoAnswer


@pytest.mark.parametrize(
    ("server", "address"),
    [
        ("nats://n1:4222", "n1:4222"),
        ("n1:4222", "n1:4222"),
        ("nats://provision:well-kept@n1:4222", "n1:4222"),
        ("provision:well-kept@n1:4222", "n1:4222"),
        ("nats://well-kept-token@n1:4222/", "n1:4222"),
        ("nats://provision:well@kept@n1:4222", "n1:4222"),
        ("nats://provision:well/kept#?@n1:4222", "n1:4222"),
        ("wss://provision:well-kept@[::1]:443/bus", "[::1]:443"),
    ],
)
def test_the_error_names_the_host_and_port_of_a_server_but_not_its_password(
    server: str, address: str
) -> None:
    assert str(NoAnswer([server])) == f"NATS doesn't answer at {address}. Is the marketplace running?"
