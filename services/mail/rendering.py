"""Makes an email of what a message says: its headers, its text, its HTML and its attachments."""

import re
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from contracts.wire import now
from kit import texts
from services.mail.kinds.base import Content

TEMPLATES = Path(__file__).parent / "templates"

_ADDRESS = re.compile(r"https?://[^\s<>]*[\w/]")


def _linked(text: str) -> Markup:
    """A text of ours as HTML in which each address is a link."""
    link = '<a class="accent" href="{0}" style="color: #a3183c; overflow-wrap: anywhere">{0}</a>'
    return Markup(_ADDRESS.sub(lambda found: link.format(found[0]), str(escape(text))))  # noqa: S704


class Stationery:
    """What all emails have in common.

    Args:
        sender: the mailbox in From.
        site: the address of the marketplace.
    """

    def __init__(self, sender: str, site: str) -> None:
        self._name, self.sender = parseaddr(sender)
        self._domain = self.sender.rpartition("@")[2]
        self._site = site
        loader = FileSystemLoader(TEMPLATES)
        templates = Environment(
            loader=loader,
            autoescape=select_autoescape(["html"]),
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
            extensions=["jinja2.ext.i18n"],
        )
        texts.load()
        templates.install_gettext_callables(texts.gettext, texts.plural, newstyle=True)  # type: ignore[attr-defined]
        templates.globals["language"] = texts.language
        templates.filters["curly"] = lambda text: text.replace("'", "\u2019")
        templates.filters["linked"] = _linked
        self._html, self._text = (templates.get_template(f"message.{kind}") for kind in ("html", "txt"))

    def email(
        self, key: str, content: Content, recipient: str, unsubscribe_token: str | None
    ) -> EmailMessage:
        """The email of the message with this key in the current language.

        A repetition has the same Message-ID.

        Raises:
            ValueError: the address can't be in a header.
        """
        message = EmailMessage(policy=SMTP)
        message["From"] = Address(self._name, addr_spec=self.sender)
        message["To"] = Address(addr_spec=recipient)
        message["Subject"] = " ".join(content.subject.split())
        message["Date"] = format_datetime(now())
        message["Message-ID"] = self.message_id(key)
        message["Auto-Submitted"] = "auto-generated"
        unsubscribe = unsubscribe_token and f"{self._site}/mail/unsubscribe?token={quote(unsubscribe_token)}"
        if unsubscribe:
            message["List-Unsubscribe"] = f"<{unsubscribe}>"
            message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        context = {"content": content, "site": self._site, "unsubscribe": unsubscribe}
        message.set_content(self._text.render(context), cte="quoted-printable")
        message.add_alternative(self._html.render(context), subtype="html", cte="quoted-printable")
        for attachment in content.attachments:
            message.add_attachment(attachment.text, subtype="plain", filename=attachment.name, cte="base64")
            part = list(message.iter_attachments())[-1]
            part.replace_header("Content-Type", f'{attachment.content_type}; charset="utf-8"')
            part.set_param("name", attachment.name)
        message["Content-Language"] = texts.language()  # each of the methods above would remove it
        return message

    def message_id(self, key: str) -> str:
        """The Message-ID. It reveals nothing of the key, which contains the ids of people."""
        return f"<{sha256(key.encode()).hexdigest()[:40]}@{self._domain}>"
