"""A process that sends what is queued in a database of mail, then ends: `python -m bench.mail_sender NAME`.

It says when it is ready, and begins when its input gets a line.
"""

import asyncio
import sys

from kit.mongo import database
from services.mail.addresses import Addresses
from services.mail.sender import Sender
from services.mail.smtp import MailServer
from settings import Settings, load
from streams.mail import service


async def send(settings: Settings, name: str) -> None:
    server, addresses = MailServer(settings), Addresses(settings)
    async with database(settings.database, name, service.documents):
        sender = Sender(settings, server, addresses)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        while await sender.send_due():
            pass
    await server.close()
    await addresses.close()


if __name__ == "__main__":
    asyncio.run(send(load(), sys.argv[1]))
