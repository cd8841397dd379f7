"""What holds of every run that has come to rest, whatever was killed, cut off or repeated while it ran.

Each invariant reads a history and gives what breaks it, in words. `violations` asks all of them.
"""

from collections.abc import Callable, Iterator, Sequence

from tests.chaos.history import History
from tests.chaos.invariants.answers import (
    accounts_are_as_told,
    cancellations_are_as_told,
    edits_are_as_told,
    offers_are_as_told,
    payments_are_as_told,
    refunds_are_as_told,
    reservations_are_as_told,
    sessions_begin_as_told,
    sessions_end_as_told,
    what_was_shown_was_so,
    withdrawals_are_as_told,
)
from tests.chaos.invariants.events import (
    an_id_is_of_one_event,
    echoes_change_nothing,
    events_are_named_by_what_they_say,
    every_change_is_said_once,
    nothing_comes_back_to_life,
    orders_expire_when_their_time_is_over,
    what_was_said_last_is_so,
)
from tests.chaos.invariants.money import (
    money_follows_orders,
    orders_are_paid_once,
    payments_are_as_stripe_has_them,
)
from tests.chaos.invariants.orders import (
    copies_are_up_to_date,
    holds_are_counted,
    nothing_waits,
    one_order_a_ticket,
    only_poison_is_buried,
    orders_are_of_what_was_offered,
    orders_count_as_they_stand,
    tickets_follow_orders,
)

Invariant = Callable[[History], Iterator[str]]

INVARIANTS: Sequence[Invariant] = (
    one_order_a_ticket,
    holds_are_counted,
    orders_count_as_they_stand,
    tickets_follow_orders,
    orders_are_of_what_was_offered,
    copies_are_up_to_date,
    money_follows_orders,
    orders_are_paid_once,
    payments_are_as_stripe_has_them,
    every_change_is_said_once,
    an_id_is_of_one_event,
    echoes_change_nothing,
    what_was_said_last_is_so,
    events_are_named_by_what_they_say,
    nothing_comes_back_to_life,
    orders_expire_when_their_time_is_over,
    nothing_waits,
    only_poison_is_buried,
    accounts_are_as_told,
    offers_are_as_told,
    edits_are_as_told,
    withdrawals_are_as_told,
    reservations_are_as_told,
    cancellations_are_as_told,
    payments_are_as_told,
    refunds_are_as_told,
    what_was_shown_was_so,
    sessions_begin_as_told,
    sessions_end_as_told,
)


def violations(history: History) -> list[str]:
    """Everything that is broken; nothing, if all is well."""
    return [f"{each.__name__}: {words}" for each in INVARIANTS for words in each(history)]
