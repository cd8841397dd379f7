"""What an operator's commands say when the bus is away."""

import pytest

from sandbox.testing import free_port
from streams.operator import NoAnswer, jetstream


async def test_a_command_says_in_one_line_where_nats_is_away_and_no_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = free_port(), free_port()
    servers = f"nats://provision:well-kept@127.0.0.1:{one},nats://127.0.0.1:{other}"
    monkeypatch.setenv("NATS_URL", servers)
    with pytest.raises(SystemExit) as ended:
        async with jetstream():
            pass
    assert ended.value.code == (
        f"NATS doesn't answer at 127.0.0.1:{one}, 127.0.0.1:{other}. Is the marketplace running?"
    )


@pytest.mark.parametrize(
    ("server", "place"),
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
def test_of_a_server_only_host_and_port_are_said(server: str, place: str) -> None:
    assert str(NoAnswer([server])) == f"NATS doesn't answer at {place}. Is the marketplace running?"
