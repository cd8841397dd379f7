"""What people are told about their accounts."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar

from pydantic import BaseModel

from contracts.events import LinkCreated, LinkKind, SessionStarted, UserEvent, UserUpdated
from contracts.wire import Moment
from kit.mongo import object_id
from services.mail.kinds.base import Button, Content, Kind, Notice, Site
from services.mail.kinds.texts import day_and_time, one_line

ACCOUNT = "You received this email because somebody entered this address for an account at Stagedoor."
SECURITY = "You received this email because it concerns the security of your account at Stagedoor."
NOT_YOU = (
    "If you didn't ask for this, you don't need to do anything: nothing changes unless you use the link."
)

USER, LINK, SESSION = (f"65f0c0ffee0000000000{number:04x}" for number in (15, 16, 17))
MOMENT = datetime(2027, 3, 1, 18, 45, tzinfo=UTC)


class LinkFacts(BaseModel):
    expires_at: Moment
    account: str | None = None
    """The user's id, if the message says it."""


class _LinkKind(Kind[LinkCreated, LinkFacts]):
    events = (LinkCreated,)
    facts = LinkFacts
    needs_link = True
    link: ClassVar[LinkKind]

    def notice(self, event: LinkCreated) -> Notice[LinkFacts] | None:
        if event.kind != self.link:
            return None
        made_at = object_id(event.id).generation_time
        return Notice(event.id, event.user_id, made_at, LinkFacts(expires_at=event.expires_at))

    def example(self) -> LinkCreated:
        return LinkCreated(id=LINK, version=0, user_id=USER, kind=self.link, expires_at=MOMENT)


def _until(facts: LinkFacts) -> str:
    return f"The link works once, until {day_and_time(facts.expires_at, None)}."


class ConfirmAddress(_LinkKind):
    """Asks whoever has the address to confirm it."""

    name = "confirm-address"
    link = "confirm-email"

    def content(self, facts: LinkFacts, site: Site, url: str) -> Content:
        return Content(
            subject="Confirm your email address",
            heading="Confirm your email address",
            lead="Once it is confirmed, you can buy and sell tickets at Stagedoor.",
            button=Button("Confirm this address", url),
            notes=[_until(facts), NOT_YOU],
            reason=ACCOUNT,
        )


class ConfirmNewAddress(_LinkKind):
    """Asks whoever has the new address of an account to confirm it."""

    name = "confirm-new-address"
    link = "change-email"

    def content(self, facts: LinkFacts, site: Site, url: str) -> Content:
        return Content(
            subject="Confirm your new email address",
            heading="Confirm your new email address",
            lead="Once you confirm it, your account at Stagedoor uses this address.",
            button=Button("Use this address", url),
            notes=[_until(facts), NOT_YOU],
            reason=ACCOUNT,
        )


class ResetPassword(_LinkKind):
    """Lets whoever has the address choose a new password."""

    name = "reset-password"
    link = "reset-password"

    def content(self, facts: LinkFacts, site: Site, url: str) -> Content:
        return Content(
            subject="Choose a new password",
            heading="Choose a new password",
            lead="Somebody asked for a new password for your account at Stagedoor.",
            button=Button("Choose a new password", url),
            notes=[_until(facts), NOT_YOU],
            reason=SECURITY,
        )


class AddressChanged(_LinkKind):
    """Tells the address before that the account has another one, and how to undo that."""

    name = "address-changed"
    link = "undo-email-change"

    def content(self, facts: LinkFacts, site: Site, url: str) -> Content:
        return Content(
            subject="The email address of your account was changed",
            heading="Your email address was changed",
            lead="From now on, messages about your account at Stagedoor go to the new address.",
            button=Button("Undo the change", url),
            notes=[
                "If you changed it yourself, you don't need to do anything. If not, undo the change: it"
                " returns the account to this address, ends all sessions and asks for a new password.",
                _until(facts),
            ],
            reason=SECURITY,
        )


class AddressReplaced(_LinkKind):
    """Tells an address that was never confirmed that its account has another one. There is nothing to undo.

    The address may have been mistyped, and belong to a stranger, who must not get the account.
    """

    name = "address-replaced"
    link = "email-replaced"

    def notice(self, event: LinkCreated) -> Notice[LinkFacts] | None:
        notice = super().notice(event)
        return notice and replace(notice, facts=LinkFacts(expires_at=event.expires_at, account=event.user_id))

    def content(self, facts: LinkFacts, site: Site, url: str) -> Content:
        return Content(
            subject="An account doesn't use this address any more",
            heading="An account doesn't use this address any more",
            lead="Somebody signed up at Stagedoor with this address, and has now replaced it.",
            details=[("Account", facts.account or "")],
            button=Button("Go to Stagedoor", url),
            notes=[
                "If you have no account at Stagedoor, somebody mistyped an address, and you don't need to do"
                " anything.",
                "If it is your account and you didn't replace the address, somebody knows your password."
                " Contact us, and say the number of the account. The address had never been confirmed, so we"
                " can't send a link that returns the account.",
            ],
            reason=ACCOUNT,
        )


class ChangeFacts(BaseModel):
    changed_at: Moment


class _ChangeKind(Kind[UserEvent, ChangeFacts]):
    events = (UserUpdated,)
    facts = ChangeFacts
    is_limited = True

    def changed_at(self, event: UserEvent) -> datetime | None:
        """When the account changed in the way that the message is about."""
        raise NotImplementedError

    def notice(self, event: UserEvent) -> Notice[ChangeFacts] | None:
        moment = self.changed_at(event)
        if moment is None or event.deleted:
            return None
        cause = f"{event.id}-{int(moment.timestamp() * 1000)}"
        return Notice(cause, event.id, moment, ChangeFacts(changed_at=moment))

    def example(self) -> UserEvent:
        return UserUpdated(id=USER, version=4, password_changed_at=MOMENT, passkeys_changed_at=MOMENT)


class PasswordChanged(_ChangeKind):
    """Tells the user that the password was changed or reset."""

    name = "password-changed"

    def changed_at(self, event: UserEvent) -> datetime | None:
        return event.password_changed_at

    def content(self, facts: ChangeFacts, site: Site, url: str) -> Content:
        return Content(
            subject="Your password was changed",
            heading="Your password was changed",
            lead="Your account at Stagedoor has a new password.",
            details=[("When", day_and_time(facts.changed_at, None))],
            button=Button("I didn't do that", f"{url}/account/forgot"),
            notes=["If it was you, you don't need to do anything. If not, choose a new password at once."],
            reason=SECURITY,
        )


class PasskeysChanged(_ChangeKind):
    """Tells the user that a passkey was added or removed."""

    name = "passkeys-changed"

    def changed_at(self, event: UserEvent) -> datetime | None:
        return event.passkeys_changed_at

    def content(self, facts: ChangeFacts, site: Site, url: str) -> Content:
        return Content(
            subject="Your passkeys were changed",
            heading="Your passkeys were changed",
            lead="Somebody added a passkey to your account at Stagedoor, or removed one.",
            details=[("When", day_and_time(facts.changed_at, None))],
            button=Button("See your account", f"{url}/account"),
            notes=[
                "If it was you, you don't need to do anything. If not, remove passkeys that aren't yours and"
                " choose a new password."
            ],
            reason=SECURITY,
        )


class SessionFacts(BaseModel):
    started_at: Moment
    device: str | None


class NewDevice(Kind[SessionStarted, SessionFacts]):
    """Tells the user about a sign-in on a device that the account hadn't been used on before."""

    name = "new-device"
    events = (SessionStarted,)
    facts = SessionFacts
    # Somebody who has only the password can't switch these messages off, because the token is only in them.
    is_optional = True
    is_limited = True

    def notice(self, event: SessionStarted) -> Notice[SessionFacts] | None:
        facts = SessionFacts(started_at=event.started_at, device=event.device)
        return Notice(event.session_id, event.user_id, event.started_at, facts)

    def content(self, facts: SessionFacts, site: Site, url: str) -> Content:
        return Content(
            subject="A sign-in on a new device",
            heading="A sign-in on a new device",
            lead="Somebody signed in to your account at Stagedoor on a device that is new to us.",
            details=[
                *([("Device", one_line(facts.device))] if facts.device else []),
                ("When", day_and_time(facts.started_at, None)),
            ],
            button=Button("See your account", f"{url}/account"),
            notes=[
                "If it was you, you don't need to do anything. If not, choose a new password: that ends all"
                " sessions."
            ],
            reason=SECURITY,
        )

    def example(self) -> SessionStarted:
        return SessionStarted(session_id=SESSION, user_id=USER, started_at=MOMENT, device="Firefox on Linux")
