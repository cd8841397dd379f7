"""All kinds of messages. A new kind is one class, and an instance of it in this list."""

from collections.abc import Mapping, Sequence

from services.mail.kinds.accounts import (
    AddressChanged,
    AddressReplaced,
    ConfirmAddress,
    ConfirmNewAddress,
    NewDevice,
    PasskeysChanged,
    PasswordChanged,
    ResetPassword,
)
from services.mail.kinds.alerts import TicketAlert
from services.mail.kinds.base import AnyKind
from services.mail.kinds.deliveries import DateChanged, Overdue, OverdueSale, TicketReady, UploadReminder
from services.mail.kinds.orders import Receipt, Refunded, SaleRefunded, Sold
from services.mail.kinds.payouts import DebtSettled, PaidOut, SetUpPayouts
from services.mail.kinds.problems import ProblemAnswered, ProblemDecided, ProblemReported, ProblemSettled

KINDS: Sequence[AnyKind] = (
    Receipt(),
    Sold(),
    Refunded(),
    SaleRefunded(),
    TicketReady(),
    UploadReminder(),
    DateChanged(),
    Overdue(),
    OverdueSale(),
    ProblemReported(),
    ProblemAnswered(),
    ProblemDecided(),
    ProblemSettled(),
    PaidOut(),
    DebtSettled(),
    SetUpPayouts(),
    TicketAlert(),
    ConfirmAddress(),
    ConfirmNewAddress(),
    ResetPassword(),
    AddressChanged(),
    AddressReplaced(),
    PasswordChanged(),
    PasskeysChanged(),
    NewDevice(),
)

BY_NAME: Mapping[str, AnyKind] = {kind.name: kind for kind in KINDS}
