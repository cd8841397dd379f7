"""Whether the processes are ready, as they say themselves."""

import asyncio
from collections.abc import Mapping

import aiohttp

from settings import SERVICES, Settings

ANSWER_SECONDS = 3.0


async def health(settings: Settings) -> Mapping[str, str | None]:
    """For each process None if it is ready, or what is wrong."""
    urls: dict[str, str] = {service: settings.url_of(service) for service in SERVICES}
    urls["web"] = (settings.console_web_url or f"http://127.0.0.1:{settings.web_port}").rstrip("/")
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        answers = await asyncio.gather(*(_ask(http, url) for url in urls.values()))
    return dict(zip(urls, answers, strict=True))


async def _ask(http: aiohttp.ClientSession, url: str) -> str | None:
    try:
        async with http.get(f"{url}/health/ready") as answer:
            if answer.status == 200:
                return None
            body = await answer.json(content_type=None)
            missing = ", ".join(body.get("missing", ())) if isinstance(body, dict) else ""
    except (aiohttp.ClientError, TimeoutError, OSError):
        return f"doesn't answer at {url}"
    except ValueError:
        missing = ""
    return f"isn't ready: {missing}" if missing else f"isn't ready: status {answer.status}"
