"""Amounts as text."""

_ZERO_DECIMAL = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf".split())


def amount(minor: int, currency: str) -> str:
    """The amount as text: `19.99 USD` for 1999 and `usd`."""
    figure = f"{minor:,}" if currency in _ZERO_DECIMAL else f"{minor / 100:,.2f}"
    return f"{figure} {currency.upper()}"
