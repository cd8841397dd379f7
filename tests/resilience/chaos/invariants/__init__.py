"""The invariants of a marketplace at rest. They hold after any faults.

Each invariant reads a history and yields descriptions of its violations. `violations` checks all of them.
"""

from collections.abc import Callable, Iterator, Sequence

from tests.resilience.chaos.history import History
from tests.resilience.chaos.invariants.answers import (
    accounts_match_responses,
    cancellations_match_responses,
    edits_match_responses,
    listings_match_responses,
    payments_match_responses,
    refunds_match_responses,
    reservations_match_responses,
    session_ends_match_responses,
    session_starts_match_responses,
    shown_states_are_true,
    withdrawals_match_responses,
)
from tests.resilience.chaos.invariants.deliveries import (
    deliveries_follow_files,
    due_deliveries_have_timers,
    promises_are_kept_or_refunded,
    uploads_match_responses,
)
from tests.resilience.chaos.invariants.events import (
    echoes_repeat_earlier_events,
    every_change_is_published_once,
    final_states_stay_final,
    holds_are_of_what_the_seller_offers,
    message_ids_are_unique,
    newest_event_matches_database,
    orders_complete_after_their_holds,
    orders_expire_after_their_deadline,
    subjects_match_events,
)
from tests.resilience.chaos.invariants.mail import (
    messages_reach_their_recipients,
    people_are_told_about_their_orders,
)
from tests.resilience.chaos.invariants.money import (
    money_follows_orders,
    orders_are_paid_once,
    payment_pages_end_with_orders,
    payments_match_stripe,
)
from tests.resilience.chaos.invariants.orders import (
    holds_are_numbered_without_gaps,
    indexed_fields_match_statuses,
    nothing_is_overdue,
    one_order_holds_a_ticket,
    only_poison_is_a_dead_letter,
    orders_match_the_reserved_version,
    replicas_are_up_to_date,
    tickets_follow_orders,
)
from tests.resilience.chaos.invariants.payouts import (
    captured_payments_have_sales,
    sales_are_paid_once,
    sales_are_paid_when_due,
    the_ledger_is_balanced,
)

Invariant = Callable[[History], Iterator[str]]

INVARIANTS: Sequence[Invariant] = (
    one_order_holds_a_ticket,
    holds_are_numbered_without_gaps,
    indexed_fields_match_statuses,
    tickets_follow_orders,
    orders_match_the_reserved_version,
    replicas_are_up_to_date,
    money_follows_orders,
    orders_are_paid_once,
    payments_match_stripe,
    payment_pages_end_with_orders,
    promises_are_kept_or_refunded,
    deliveries_follow_files,
    uploads_match_responses,
    due_deliveries_have_timers,
    captured_payments_have_sales,
    sales_are_paid_once,
    sales_are_paid_when_due,
    the_ledger_is_balanced,
    every_change_is_published_once,
    message_ids_are_unique,
    echoes_repeat_earlier_events,
    newest_event_matches_database,
    subjects_match_events,
    final_states_stay_final,
    holds_are_of_what_the_seller_offers,
    orders_complete_after_their_holds,
    orders_expire_after_their_deadline,
    nothing_is_overdue,
    only_poison_is_a_dead_letter,
    people_are_told_about_their_orders,
    messages_reach_their_recipients,
    accounts_match_responses,
    listings_match_responses,
    edits_match_responses,
    withdrawals_match_responses,
    reservations_match_responses,
    cancellations_match_responses,
    payments_match_responses,
    refunds_match_responses,
    shown_states_are_true,
    session_starts_match_responses,
    session_ends_match_responses,
)


def violations(history: History) -> list[str]:
    """All violations, each beginning with the name of its invariant."""
    return [f"{each.__name__}: {words}" for each in INVARIANTS for words in each(history)]
