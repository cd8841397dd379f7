"""What people are told about their accounts."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar

from pydantic import BaseModel

from contracts.events import LinkCreated, LinkKind, SessionStarted, UserEvent, UserUpdated
from contracts.wire import Moment
from kit.device_names import device_name
from kit.mongo import object_id
from kit.texts import N_, _
from services.mail.kinds.base import Button, Content, Kind, Notice, Site
from services.mail.kinds.texts import day_and_time, one_line

ACCOUNT = N_("You received this email because somebody entered this address for an account at Stagedoor.")
SECURITY = N_("You received this email because it concerns the security of your account at Stagedoor.")
NOT_YOU = N_(
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
    return _("The link works once, until %(time)s.", time=day_and_time(facts.expires_at, None))


class ConfirmAddress(_LinkKind):
    """Asks whoever has the address to confirm it."""

    name = "confirm-address"
    link = "confirm-email"

    def content(self, facts: LinkFacts, site: Site, url: str) -> Content:
        return Content(
            subject=_("Confirm your email address"),
            heading=_("Confirm your email address"),
            lead=_(
                "Confirm that the address is yours. "
                "Stagedoor may ask for that before you pay for or sell tickets."
            ),
            button=Button(_("Confirm this address"), url),
            notes=[_until(facts), _(NOT_YOU)],
            reason=_(ACCOUNT),
        )


class ConfirmNewAddress(_LinkKind):
    """Asks whoever has the new address of an account to confirm it."""

    name = "confirm-new-address"
    link = "change-email"

    def content(self, facts: LinkFacts, site: Site, url: str) -> Content:
        return Content(
            subject=_("Confirm your new email address"),
            heading=_("Confirm your new email address"),
            lead=_("Once you confirm it, your account at Stagedoor uses this address."),
            button=Button(_("Use this address"), url),
            notes=[_until(facts), _(NOT_YOU)],
            reason=_(ACCOUNT),
        )


class ResetPassword(_LinkKind):
    """Lets whoever has the address choose a new password."""

    name = "reset-password"
    link = "reset-password"

    def content(self, facts: LinkFacts, site: Site, url: str) -> Content:
        return Content(
            subject=_("Choose a new password"),
            heading=_("Choose a new password"),
            lead=_("Somebody asked for a new password for your account at Stagedoor."),
            button=Button(_("Choose a new password"), url),
            notes=[_until(facts), _(NOT_YOU)],
            reason=_(SECURITY),
        )


class AddressChanged(_LinkKind):
    """Tells the address before that the account has another one, and how to undo that."""

    name = "address-changed"
    link = "undo-email-change"

    def content(self, facts: LinkFacts, site: Site, url: str) -> Content:
        return Content(
            subject=_("The email address of your account was changed"),
            heading=_("Your email address was changed"),
            lead=_("From now on, messages about your account at Stagedoor go to the new address."),
            button=Button(_("Undo the change"), url),
            notes=[
                _(
                    "If you changed it yourself, you don't need to do anything. If not, undo the change: it"
                    " returns the account to this address, ends all sessions and asks for a new password."
                ),
                _until(facts),
            ],
            reason=_(SECURITY),
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
            subject=_("An account doesn't use this address any more"),
            heading=_("An account doesn't use this address any more"),
            lead=_("Somebody signed up at Stagedoor with this address, and has now replaced it."),
            details=[(_("Account"), facts.account or "")],
            button=Button(_("Go to Stagedoor"), url),
            notes=[
                _(
                    "If you have no account at Stagedoor, somebody mistyped an address, and you don't need to"
                    " do anything."
                ),
                _(
                    "If it is your account and you didn't replace the address, somebody knows your password."
                    " Contact us, and say the number of the account. The address had never been confirmed, so"
                    " we can't send a link that returns the account."
                ),
            ],
            reason=_(ACCOUNT),
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
            subject=_("Your password was changed"),
            heading=_("Your password was changed"),
            lead=_("Your account at Stagedoor has a new password."),
            details=[(_("When"), day_and_time(facts.changed_at, None))],
            button=Button(_("I didn't do that"), f"{url}/account/forgot"),
            notes=[_("If it was you, you don't need to do anything. If not, choose a new password at once.")],
            reason=_(SECURITY),
        )


class PasskeysChanged(_ChangeKind):
    """Tells the user that a passkey was added or removed."""

    name = "passkeys-changed"

    def changed_at(self, event: UserEvent) -> datetime | None:
        return event.passkeys_changed_at

    def content(self, facts: ChangeFacts, site: Site, url: str) -> Content:
        return Content(
            subject=_("Your passkeys were changed"),
            heading=_("Your passkeys were changed"),
            lead=_("Somebody added a passkey to your account at Stagedoor, or removed one."),
            details=[(_("When"), day_and_time(facts.changed_at, None))],
            button=Button(_("See your account"), f"{url}/account"),
            notes=[
                _(
                    "If it was you, you don't need to do anything. If not, remove passkeys that aren't yours"
                    " and choose a new password."
                )
            ],
            reason=_(SECURITY),
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
            subject=_("A sign-in on a new device"),
            heading=_("A sign-in on a new device"),
            lead=_("Somebody signed in to your account at Stagedoor on a device that is new to us."),
            details=[
                *([(_("Device"), one_line(device_name(facts.device)))] if facts.device else []),
                (_("When"), day_and_time(facts.started_at, None)),
            ],
            button=Button(_("See your account"), f"{url}/account"),
            notes=[
                _(
                    "If it was you, you don't need to do anything. If not, choose a new password: that ends"
                    " all sessions."
                )
            ],
            reason=_(SECURITY),
        )

    def example(self) -> SessionStarted:
        return SessionStarted(session_id=SESSION, user_id=USER, started_at=MOMENT, device="Firefox on Linux")
