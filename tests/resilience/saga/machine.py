"""A Hypothesis state machine: everything that may happen to a ticket's orders and payments, in any order."""

from datetime import timedelta
from typing import Literal

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.resilience.saga import invariants
from tests.resilience.saga.steps import Actor, End
from tests.resilience.saga.world import BUYERS, World

CARDS = [
    "tok_visa",
    "tok_chargeDeclined",
    "tok_threeDSecure2Required",
    "tok_threeDSecureRequiredChargeDeclined",
]
Step = Literal["report", "answer", "refund", "partial-refund", "reject"]
which = st.integers(0, 7)
"""Chooses an element of a list whose length isn't known yet: the index is this number modulo the length."""


def machine(world: World) -> type[RuleBasedStateMachine]:
    """The state machine of a world. Actors work concurrently, and the machine moves them step by step."""

    class Purchases(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.at_checkout = False

        @initialize(
            at_checkout=st.booleans(),
            known_to=st.sampled_from(["both", "both", "payments", "nobody", "sold", "sold"]),
            edited=st.sampled_from([False, False, False, False, False, True]),
            promised=st.booleans(),
        )
        def begin(self, at_checkout: bool, known_to: str, edited: bool, promised: bool) -> None:
            """Reserve the ticket. Payments often has a replica of the order at once, and some are paid."""
            self.at_checkout = at_checkout
            world.run(world.begin(promised=promised))
            world.run(world.reserve(BUYERS[0]))
            if edited:
                world.edit(2999)
            if known_to in ("both", "sold"):
                world.run(world.come_to_rest())
            elif known_to == "payments":
                world.run(world.inform_payments())
            if known_to == "sold":
                world.pay(self._order(0), "tok_visa", at_checkout=False)
                world.run(world.come_to_rest())

        # --- User actions ---

        @rule(buyer=st.sampled_from(BUYERS))
        def reserve(self, buyer: str) -> None:
            world.run(world.reserve(buyer))

        @rule(which=which)
        def pay(self, which: int) -> None:
            self._pay(which, "tok_visa")

        @rule(which=which, card=st.sampled_from(CARDS))
        def pay_with_any_card(self, which: int, card: str) -> None:
            self._pay(which, card)

        @rule(which=which, is_sure=st.sampled_from([False, False, True]))
        def cancel(self, which: int, is_sure: bool) -> None:
            """Cancel, but not too often, because otherwise few orders are ever completed."""
            if is_sure:
                world.cancel(self._order(which))

        @rule(which=which, answer=st.sampled_from(["approve", "refuse"]))
        def answer_bank(self, which: int, answer: str) -> None:
            world.run(world.answer_bank(self._order(which), answer))

        @precondition(lambda self: self.at_checkout)
        @rule(which=which, card=st.sampled_from(CARDS))
        def pay_on_page(self, which: int, card: str) -> None:
            world.run(world.pay_on_page(self._order(which), card))

        @rule(change=st.sampled_from(["nothing", "nothing", "nothing", "edit", "restore", "withdraw"]))
        def seller_changes_ticket(self, change: str) -> None:
            """Edit or withdraw the ticket, but not too often, because otherwise it is seldom sold."""
            if change == "withdraw":
                world.withdraw()
            elif change != "nothing":
                world.edit(2999 if change == "edit" else 1999)

        @rule(is_sure=st.sampled_from([False, True]))
        def upload(self, is_sure: bool) -> None:
            """Upload the files of a promised ticket, but not always, so that some promises are broken."""
            if world.promised and is_sure:
                world.upload()

        @rule(which=which, by=st.sampled_from(["buyer", "seller"]))
        def say_that_the_ticket_was_handed_over(self, which: int, by: str) -> None:
            world.hand_over(self._order(which), by)

        @rule(which=which, step=st.sampled_from(["report", "answer", "refund", "partial-refund", "reject"]))
        def somebody_acts_on_a_problem(self, which: int, step: Step) -> None:
            """The buyer reports a problem, the seller answers, and an operator decides."""
            order = self._order(which)
            match step:
                case "report":
                    world.report(order)
                case "answer":
                    world.answer_report(order)
                case _:
                    world.decide(order, step)

        @rule(step=st.sampled_from(["days", "days", "account"]))
        def the_money_becomes_due(self, step: str) -> None:
            """Let the days pass until sales are due, or the seller set up an account."""
            if step == "account":
                world.set_up_account()
            elif world.run(world.has_sales()):
                world.run(world.days_pass())
                world.pay_sellers()

        @rule(which=which, how=st.sampled_from(["no", "no", "relist", "keep", "at Stripe"]))
        def refund(self, which: int, how: str) -> None:
            """Refund, but not too often, because otherwise few sellers are paid."""
            if how == "at Stripe":
                world.run(world.refund_at_stripe(self._order(which)))
            elif how != "no":
                world.refund(self._order(which), relist=how == "relist")

        # --- Events, deadlines and background work ---

        @rule(minutes=st.sampled_from([1, 2, 12]))
        def time_passes(self, minutes: int) -> None:
            world.run(world.wait(timedelta(minutes=minutes)))

        @invariant()
        def relay(self) -> None:
            world.run(world.relay())

        @rule(which=which, again=st.booleans())
        def deliver(self, which: int, again: bool) -> None:
            """Deliver any message, in any order, perhaps more than once."""
            messages = world.saga.messages
            if messages:
                index = which % len(messages)
                world.deliver(messages[index] if again else messages.pop(index))

        @rule(which=which)
        def webhook(self, which: int) -> None:
            events = world.run(world.events_at_stripe())
            if events:
                world.act("webhook", world.webhook(events[which % len(events)]))

        @rule()
        def reconcile(self) -> None:
            world.act("reconciler", world.reconciler.reconcile())

        @rule()
        def pay_sellers(self) -> None:
            world.pay_sellers()

        @rule()
        def sweep(self) -> None:
            world.act("sweeper", world.sweep())

        @rule(which=which)
        def a_late_request_arrives(self, which: int) -> None:
            world.run(world.transport.deliver_late(which))

        # --- Steps of actors ---

        @rule(which=which, steps=st.integers(1, 6))
        def go_on(self, which: int, steps: int) -> None:
            world.run(world.step(self._actor(which), *[End.WELL] * steps))

        @rule(which=which, steps=st.integers(0, 5), end=st.sampled_from([End.CRASH_BEFORE, End.CRASH_AFTER]))
        def crash(self, which: int, steps: int, end: End) -> None:
            world.run(world.step(self._actor(which), *[End.WELL] * steps, end))

        @rule(
            which=which,
            steps=st.integers(0, 5),
            end=st.sampled_from([End.UNSENT, End.LOST, End.LATE, End.BROKEN]),
        )
        def lose(self, which: int, steps: int, end: End) -> None:
            """Lose a request three times, because the stripe package makes two retries."""
            world.run(world.step(self._actor(which), *[End.WELL] * steps, end, end, end))

        @rule()
        def all_goes_well_for_a_while(self) -> None:
            world.run(world.come_to_rest())
            world.run(invariants.check_money(world))

        def teardown(self) -> None:
            if world.saga.orders:
                world.run(invariants.settle_and_check(world))

        def _pay(self, which: int, card: str) -> None:
            world.pay(self._order(which), None if self.at_checkout else card, at_checkout=self.at_checkout)

        def _order(self, which: int) -> str:
            return world.saga.orders[which % len(world.saga.orders)]

        def _actor(self, which: int) -> Actor:
            """One of the actors at work. If there is none, deliver a message, or let the buyer pay."""
            if not world.actors():
                if world.saga.messages:
                    world.deliver(world.saga.messages.pop(0))
                else:
                    self._pay(which, "tok_visa")
            actors = world.actors()
            return actors[which % len(actors)]

    return Purchases


def run(world: World, *, sagas: int, seed: int | None = None) -> None:
    """Run `sagas` sagas. Without a seed, they are the same each time.

    Raises:
        AssertionError: the violation of the first saga that violates an invariant.
    """
    purchases = machine(world)
    if seed is not None:
        hypothesis.seed(seed)(purchases)
    given = hypothesis.settings(
        max_examples=sagas,
        stateful_step_count=40,
        derandomize=seed is None,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    world.violation = None
    try:
        run_state_machine_as_test(purchases, settings=given)
    finally:
        # Hypothesis repeats a failing saga. With real servers the repetition may end differently, which
        # Hypothesis reports as a flaky strategy. The violation that was seen first is what counts.
        if world.violation:
            raise world.violation
