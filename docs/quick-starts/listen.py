# pip install nats-py; NATS_URL="$(just developer-url)" python listen.py
import asyncio
import json
import os

import nats


async def main() -> None:
    connection = await nats.connect(os.environ["NATS_URL"])
    events = await connection.subscribe("live.>")
    async for message in events.messages:
        event = json.loads(message.data)
        headers = message.headers or {}
        print(headers["ce-type"], headers["ce-subject"], event.get("status", ""))


asyncio.run(main())
