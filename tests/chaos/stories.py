"""What buyers and sellers do on a marketplace, each story about a ticket of its own."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from tests.chaos.client import Answer, Person
from tests.chaos.history import DECLINED
from tests.chaos.scene import Scene, gather, ticket_at

CHECKED = "tok_threeDSecure2Required"
"""Its bank asks whether it is the buyer who pays."""
TROUBLED = ("tok_fault_rate_limit", "tok_fault_server_error", "tok_fault_slow", "tok_fault_lost")

Story = Callable[[Scene], Awaitable[None]]
Paying = Callable[[Scene, Person, str], Awaitable[None]]


def with_an_order(story: Paying) -> Story:
    """A story that begins with an order, and ends if there is none."""

    async def told(scene: Scene) -> None:
        buyer, order = await scene.has_an_order()
        if order:
            await story(scene, buyer, order)

    told.__name__ = getattr(story, "__name__", "")
    return told


@with_an_order
async def buys(scene: Scene, buyer: Person, order: str) -> None:
    await scene.pays_for_good(buyer, order)
    await buyer.opens("/api/orders")


async def presses_twice(scene: Scene) -> None:
    """Two to four times at once, to list, to reserve and to pay."""
    buyer, seller, times, price = scene.buyer, scene.seller, scene.rng.randint(2, 4), scene.price()
    if scene.by_form:
        offers = await seller.offers_by_form(scene.name, price, times)
    else:
        offers = await gather(seller.offers(scene.name, price, scene.name) for _ in range(times))
    if not (ticket := next(filter(None, (ticket_at(offer) or offer.said("id") for offer in offers)), "")):
        return
    reserve = buyer.reserves_by_form if scene.by_form else buyer.reserves
    await gather(reserve(ticket) for _ in range(times))
    if order := await buyer.order_of(ticket):
        pay = buyer.pays_by_form if scene.by_form else buyer.pays
        await gather(pay(order) for _ in range(times))
        await scene.waits_for_the_end(buyer, order)


@with_an_order
async def is_declined_first(scene: Scene, buyer: Person, order: str) -> None:
    for card in scene.rng.sample(DECLINED, scene.rng.randint(1, 2)):
        await scene.pays(buyer, order, card)
    await scene.pays_for_good(buyer, order)


@with_an_order
async def gives_up_after_a_decline(scene: Scene, buyer: Person, order: str) -> None:
    await scene.pays(buyer, order, scene.rng.choice(DECLINED))


@with_an_order
async def approves_at_the_bank(scene: Scene, buyer: Person, order: str) -> None:
    if not (await scene.pays(buyer, order, CHECKED)).is_refused:
        await scene.answers_bank(buyer, order, "approve")
        await scene.waits_for_the_end(buyer, order)


@with_an_order
async def refuses_at_the_bank(scene: Scene, buyer: Person, order: str) -> None:
    if not (await scene.pays(buyer, order, CHECKED)).is_refused:
        await scene.answers_bank(buyer, order, "refuse")
        if scene.rng.random() < 0.5:
            await scene.pays(buyer, order)


@with_an_order
async def leaves_the_bank_waiting(scene: Scene, buyer: Person, order: str) -> None:
    await scene.pays(buyer, order, CHECKED)


@with_an_order
async def gets_the_money_back(scene: Scene, buyer: Person, order: str) -> None:
    """Once or twice at once, and the ticket goes on sale again or not."""
    await scene.pays_for_good(buyer, order)
    times = scene.rng.randint(1, 2)

    async def captured() -> bool:
        return (await buyer.payment(order)).get("status") == "captured"

    await scene.until(captured)
    relist = [scene.rng.random() < 0.5 for _ in range(times)]

    async def asks(again: bool) -> Answer:
        return await scene.insists(lambda: scene.operator.refunds(order, relist=again))

    await gather(map(asks, relist))
    await buyer.order(order)


@with_an_order
async def has_a_card_with_which_something_goes_wrong(scene: Scene, buyer: Person, order: str) -> None:
    await scene.pays_for_good(buyer, order, scene.rng.choice(TROUBLED))


@with_an_order
async def cancels(scene: Scene, buyer: Person, order: str) -> None:
    cancel = buyer.cancels_by_form if scene.by_form else buyer.cancels
    await scene.insists(lambda: cancel(order))
    await buyer.order(order)


@with_an_order
async def cancels_while_paying(scene: Scene, buyer: Person, order: str) -> None:
    card = scene.rng.choice(("tok_visa", "tok_visa", CHECKED, DECLINED[0]))
    moment = scene.rng.expovariate(4)

    async def cancel() -> Answer:
        await asyncio.sleep(moment)
        return await scene.insists(lambda: buyer.cancels(order))

    paid, _ = await gather([scene.pays(buyer, order, card), cancel()])
    if card == CHECKED and not paid.is_refused:
        await scene.answers_bank(buyer, order, "approve")
    await buyer.order(order)


@with_an_order
async def walks_away(_: Scene, __: Person, ___: str) -> None:
    """The reservation expires."""


@with_an_order
async def comes_too_late(scene: Scene, buyer: Person, order: str) -> None:
    """To pay, about when the time to pay ends."""
    await asyncio.sleep(scene.window * scene.rng.uniform(0.9, 1.1))
    await scene.pays(buyer, order)
    await buyer.order(order)


@with_an_order
async def needs_more_time(scene: Scene, buyer: Person, order: str) -> None:
    await asyncio.sleep(scene.window * 0.75)
    await scene.insists(lambda: buyer.asks_for_more_time(order))
    await asyncio.sleep(scene.window * scene.rng.uniform(0.3, 0.5))
    await scene.pays(buyer, order)
    await buyer.order(order)


async def race_for_one_ticket(scene: Scene) -> None:
    """Who loses waits for the ticket to come back, for a while."""
    rivals = scene.rng.sample(scene.buyers, min(len(scene.buyers), scene.rng.randint(3, 5)))
    ticket = await scene.lists(scene.seller)

    async def tries(rival: Person) -> None:
        for _ in range(3):
            if order := await scene.reserves(rival, ticket):
                if scene.rng.random() < 0.5:
                    await scene.pays(rival, order)
                else:
                    await rival.cancels(order)
                return
            await asyncio.sleep(scene.rng.uniform(0.2, 1.0))

    if ticket:
        await gather(map(tries, rivals))


async def edits_and_withdraws_while_others_buy(scene: Scene) -> None:
    seller = scene.seller
    ticket = await scene.lists(seller)
    if not ticket:
        return
    edit = seller.edits_by_form if scene.by_form else seller.edits
    withdraw = seller.withdraws_by_form if scene.by_form else seller.withdraws
    withdraws = scene.rng.random() < 0.6
    buyers = scene.rng.sample(scene.buyers, min(len(scene.buyers), 2))

    async def sells() -> None:
        for number in range(1, 1 + scene.rng.randint(1, 4)):
            await edit(ticket, f"{scene.name}, edit {number}", scene.price())
        if withdraws:
            await withdraw(ticket)

    async def buys_it(buyer: Person) -> None:
        await scene.thinks(0.5)
        if order := await scene.reserves(buyer, ticket):
            await (scene.pays(buyer, order) if scene.rng.random() < 0.5 else buyer.cancels(order))

    await gather([sells(), *map(buys_it, buyers)])
    await seller.opens(f"/api/tickets/{ticket}")


async def edits_on_two_screens(scene: Scene) -> None:
    """At once, and then takes it off sale, pressing twice."""
    seller = scene.seller
    ticket = await scene.lists(seller)
    if ticket:
        await gather(
            seller.edits(ticket, f"{scene.name}, edit {number}", scene.price()) for number in range(3)
        )
        await seller.opens(f"/api/tickets/{ticket}")
        await gather(seller.withdraws(ticket) for _ in range(2))


async def looks_around(scene: Scene) -> None:
    """A guest, then a buyer, who takes one of what is shown."""
    buyer = scene.buyer
    for path in ("/", f"/?q=seat&maxPrice={scene.rng.randint(20, 200)}", "/api/tickets/facets"):
        await buyer.opens(path)
    found = (await buyer.opens("/api/tickets?limit=50")).body
    if not isinstance(found, list) or not found:
        return
    ticket = scene.rng.choice(found)["id"]
    await buyer.opens(f"/tickets/{ticket}")
    await buyer.opens(f"/api/tickets/{ticket}")
    if order := await scene.reserves(buyer, ticket):
        await buyer.opens(f"/orders/{order}")
        await (scene.pays(buyer, order) if scene.rng.random() < 0.7 else buyer.cancels(order))


async def signs_out(scene: Scene) -> None:
    """A newcomer lists something, signs out, and somebody finds the token."""
    if (person := await scene.joins()) is None:
        return
    await scene.lists(person)
    if (await scene.insists(person.signs_out)).status == 200:
        scene.ended.append(person)
        await scene.thinks()
        await person.offers(f"{scene.name}, by nobody", scene.price())


async def comes_back(scene: Scene) -> None:
    """A newcomer signs up, out and in again, buys, and stays."""
    if (person := await scene.joins()) is None:
        return
    await scene.insists(person.signs_out)
    ticket = await scene.lists(scene.seller)
    if not ticket or not await scene.succeeds(person.signs_in):
        return
    scene.stays(person)
    if order := await scene.reserves(person, ticket):
        await scene.pays_for_good(person, order)


async def does_what_is_refused(scene: Scene) -> None:
    seller, buyer = scene.seller, scene.buyer
    stranger = next(person for person in scene.sellers if person is not seller)
    nothing = f"{scene.rng.getrandbits(80):024x}"  # of the year 1970: nobody waits for its event
    await seller.offers(f"{scene.name}, for nothing", "0")
    ticket = await scene.lists(seller)
    if not ticket:
        return
    await seller.reserves(ticket)
    await stranger.edits(ticket, f"{scene.name}, now mine", "1")
    await stranger.withdraws(ticket)
    await buyer.reserves(nothing)
    await buyer.pays(nothing)
    await buyer.cancels(nothing)
    if order := await scene.reserves(buyer, ticket):
        await stranger.cancels(order)
        await stranger.pays(order)
        await seller.edits(ticket, f"{scene.name}, too late", "1")
        await seller.withdraws(ticket)
        await scene.pays_for_good(buyer, order)
        await buyer.cancels(order)


STORIES: Mapping[Story, int] = {
    buys: 14,
    presses_twice: 10,
    is_declined_first: 8,
    gives_up_after_a_decline: 3,
    approves_at_the_bank: 7,
    refuses_at_the_bank: 4,
    leaves_the_bank_waiting: 3,
    has_a_card_with_which_something_goes_wrong: 4,
    gets_the_money_back: 5,
    cancels: 5,
    cancels_while_paying: 8,
    walks_away: 4,
    comes_too_late: 4,
    needs_more_time: 3,
    race_for_one_ticket: 8,
    edits_and_withdraws_while_others_buy: 10,
    edits_on_two_screens: 4,
    looks_around: 6,
    signs_out: 3,
    comes_back: 2,
    does_what_is_refused: 4,
}
"""With how often each is told, in relation to the others."""
