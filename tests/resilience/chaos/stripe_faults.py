"""Turn faults of the Stripe sandbox on and off."""

import httpx

from settings import Settings
from tests.support.polling import until

UP_SECONDS = 120.0
"""How long the sandbox may be down, because of other faults."""


async def inject(settings: Settings, **faults: str) -> None:
    """Turn on faults.

    Raises:
        httpx.HTTPError: the sandbox is down.
    """
    async with _sandbox(settings) as sandbox:
        (await sandbox.post("/faults", data=faults)).raise_for_status()


async def heal(settings: Settings) -> None:
    """Turn off all faults, as soon as the sandbox is up again.

    Raises:
        AssertionError: the sandbox stays down.
    """

    async def healed() -> bool:
        async with _sandbox(settings) as sandbox:
            try:
                return (await sandbox.delete("/faults")).is_success
            except httpx.HTTPError:
                return False

    await until(healed, bool, UP_SECONDS)


def _sandbox(settings: Settings) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.stripe_sandbox_port}", timeout=5)
