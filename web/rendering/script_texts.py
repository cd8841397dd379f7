"""The texts that scripts show. The layout passes them to static/js/texts.js."""

from contracts.tickets import MAX_QUANTITY
from web.rendering.texts import N_, _, ngettext

SCRIPT_TEXTS = {
    "allAlerts": N_("All alerts"),
    "close": N_("Close"),
    "connectionFailed": N_(
        "The connection failed. Your request may have gone through: check before you try again."
    ),
    "draftRestored": N_(
        "What you typed is here again. If you had a private note, a picture or files, "
        "enter or choose them again."
    ),
    "fiveMinutesLeft": N_("Five minutes left to pay"),
    "oneMinuteLeft": N_("One minute left to pay"),
    "passkeyCancelled": N_("You cancelled, or it took too long. Try again when you are ready."),
    "passkeyExists": N_("This device already has a passkey for your account."),
    "passkeyImpossible": N_("This device can't keep a passkey, for example because it has no screen lock."),
    "passkeysElsewhere": N_("Passkeys only work at %(address)s."),
    "passkeysNowhere": N_("Passkeys don't work at the address of this site."),
    "passkeysUnsupported": N_("Your browser doesn't support passkeys. Use your password."),
    "picturePreview": N_("Your picture as it will be shown"),
    "priceBefore": N_("before: %(before)s"),
    "priceChanged": N_("The price has changed from %(before)s to %(after)s."),
    "reconnecting": N_("Reconnecting…"),
    "signedOut": N_("You were signed out. %(link)s to continue."),
    "signIn": N_("Sign in"),
    "ticketOnSale": N_("A ticket that you waited for is on sale: %(title)s."),
    "ticketOnSaleTitle": N_("On sale: %(page)s"),
    "viewTicket": N_("View ticket"),
}


def script_texts() -> dict[str, str]:
    return {name: _(text) for name, text in SCRIPT_TEXTS.items()}


def price_summaries() -> dict[int, str]:
    """The summary of a listing's price, by number of tickets. A script fills in `amount` and `received`."""
    return {count: _price_summary(count) for count in range(1, MAX_QUANTITY + 1)}


def _price_summary(count: int) -> str:
    if count == 2:
        return _("Buyer pays %(amount)s for both tickets. You receive %(received)s.")
    return ngettext(
        "Buyer pays %(amount)s. You receive %(received)s.",
        "Buyer pays %(amount)s for all %(num)s tickets. You receive %(received)s.",
        count,
        amount="%(amount)s",
        received="%(received)s",
    )
