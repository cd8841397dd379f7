"""The cookie of a device on which somebody has signed in."""


def device_cookie(secure: bool) -> str:
    """The name of the cookie. With the prefix, browsers accept it from this host only (RFC 6265bis)."""
    return "__Host-device" if secure else "device"
