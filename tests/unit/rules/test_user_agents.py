"""The names of devices."""

import pytest

from services.auth.user_agents import device_name

MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0", "Firefox on Linux"),
        (f"{MAC} {WEBKIT} Chrome/143.0.0.0 Safari/537.36", "Chrome on macOS"),
        (f"{MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15", "Safari on macOS"),
        (
            f"Mozilla/5.0 (Windows NT 10.0; Win64) {WEBKIT} Chrome/143.0.0.0 Safari/537.36 Edg/143.0.0.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 26_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "Version/26.1 Mobile/15E148 Safari/604.1",
            "Safari on iPhone",
        ),
        (
            f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT} Chrome/143.0.0.0 Mobile Safari/537.36",
            "Chrome on Android",
        ),
        (
            f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT} SamsungBrowser/29.0 Chrome/136.0.0.0 Safari/537.36",
            "Samsung Internet on Android",
        ),
        (
            f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {WEBKIT} Chrome/143.0.0.0 Safari/537.36",
            "Chrome on ChromeOS",
        ),
        ("curl/8.17.0", "curl"),
        ("SomeApp/1.0 (Linux)", "Linux"),
        ("something else", None),
        ("", None),
        (None, None),
        ("Firefox/" + "x" * 500, None),
    ],
)
def test_a_device_is_named_after_its_browser_and_operating_system(
    user_agent: str | None, name: str | None
) -> None:
    assert device_name(user_agent) == name
