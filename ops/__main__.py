"""The operator's command line: `python -m ops --help`.

Each command reads arguments, calls a function of its module and prints the result. A command imports its
module only when it runs, because importing all modules takes seconds and would delay `just up`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from ops.action_log import logged
from ops.command_line import OrderId, OrderIds, Reason, ShowId, TicketId, fail, moment, print_lines, run
from ops.operator_commands import operator
from settings import load

Letters = Annotated[list[str], typer.Argument(metavar="NUMBER", help="Numbers of dead letters, or `all`.")]
Person = Annotated[str, typer.Argument(metavar="PERSON", help="An email address or a person's id.")]
Owner = Literal["tickets", "orders", "payments", "payouts"]
Follower = Literal["orders", "payments", "payouts"]

cli = typer.Typer(
    help="Operate a marketplace. Settings are read from the environment and from .env.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
dead = typer.Typer(
    help="List, show, replay or drop dead letters: messages that couldn't be handled.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
cli.add_typer(dead, name="dead")
cli.add_typer(operator, name="operator")


@cli.command()
def developer_url() -> None:
    """Print the address of the embedded NATS server for developers, who may only receive events.

    \b
    Exit codes:
      0  printed
      1  another NATS server is configured, whose passwords only the operator knows
    """
    from kit.secrets import DEVELOPER, nats_servers

    settings = load()
    if settings.nats_url is not None:
        fail("NATS_URL is set: ask the operator for the password of the user developer")
    typer.echo(nats_servers(settings, DEVELOPER)[0])


@cli.command()
def trace(order: OrderId) -> None:
    """Show what happened to an order, event by event.

    The documents of the order, its payment and its ticket remember where their events are. If the databases
    can't be read, or don't remember all events, the command searches all events since the order was made, and
    says so.

    \b
    Exit codes:
      0  shown
      1  the event stream has no such order, or NATS doesn't answer
      2  wrong arguments
    """
    from ops.trace import trace

    warn = partial(typer.echo, err=True)
    print_lines(trace(load(), order, warn), "The events can't be read")


@cli.command("show")
def show_order(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="An order's id, page or code, a ticket's id, an id of Stripe, an email address, or a trace.",
        ),
    ],
) -> None:
    """Show all about an order: what happened, what is missing, and which component is awaited.

    For a ticket or a person, lists the orders. Ids of Stripe begin with pi_, cs_, re_ or ch_. A trace id is
    searched for among the events of a day.

    \b
    Exit codes:
      0  shown
      1  nothing was found
      2  NATS or the databases can't be read, or wrong arguments
    """
    from ops.show import show

    print_lines(show(load(), what), "The order can't be shown")


@cli.command()
def stuck(
    watch: Annotated[
        float | None,
        typer.Option("--watch", metavar="SECONDS", min=1, help="Look again and again until Ctrl-C."),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            "--metrics-port", min=1, max=65535, help="With --watch, serve Prometheus on this local port."
        ),
    ] = None,
) -> None:
    """List what lasts too long, with the reason and the component that is awaited.

    Writes nothing. At most 200 of each state are listed. docs/operations.md shows how long each state may
    last. With --watch, each finding is printed when it appears and when it ends, and --metrics-port serves
    the gauge stagedoor_overdue.

    \b
    Exit codes:
      0  nothing is overdue
      1  something is overdue
      2  NATS or the databases can't be read, or wrong arguments
    """
    from contracts.wire import now
    from ops.stuck import stuck
    from ops.stuck import watch as watch_states

    if watch is not None:
        print_lines(watch_states(load(), watch, metrics_port), "The states can't be read")
        return
    if metrics_port is not None:
        raise typer.BadParameter("--metrics-port needs --watch")
    found = run(stuck(load()), "The states can't be read")
    moment = now()
    for finding in found:
        typer.echo(finding.line(moment))
    if not found:
        typer.echo("Nothing is overdue.")
    raise typer.Exit(int(bool(found)))


@dead.command("list")
def list_dead() -> None:
    """List all dead letters, oldest first.

    \b
    Exit codes:
      0  listed, or there is none
      1  NATS doesn't answer
    """
    from ops.dead_letters import listing

    print_lines(listing(load()), "The dead letters can't be read")


@dead.command()
def show(letters: Letters) -> None:
    """Show dead letters with their headers and bodies.

    \b
    Exit codes:
      0  shown
      1  a dead letter doesn't exist, or NATS doesn't answer
      2  wrong arguments
    """
    from ops.dead_letters import each, show

    print_lines(each(load(), letters, show), "The dead letters can't be read")


@dead.command()
@logged
def replay(letters: Letters) -> None:
    """Publish dead letters on their subjects again, then delete them.

    All subscribers receive them. A subscriber ignores a message that it has already handled. A dead letter is
    published only if the stream has the same message.

    \b
    Exit codes:
      0  all are published
      1  a dead letter doesn't exist or isn't what its consumer received, or NATS doesn't answer; the
         ones before are published
      2  wrong arguments
    """
    from ops.dead_letters import each, replay

    print_lines(each(load(), letters, replay), "The remaining dead letters weren't replayed")


@dead.command()
@logged
def drop(letters: Letters) -> None:
    """Delete dead letters.

    \b
    Exit codes:
      0  all are deleted
      1  a dead letter doesn't exist, or NATS doesn't answer; the ones before are deleted
      2  wrong arguments
    """
    from ops.dead_letters import drop, each

    print_lines(each(load(), letters, drop), "The remaining dead letters weren't deleted")


@cli.command()
def audit(
    orders: OrderIds = None,
    since: Annotated[
        datetime | None,
        typer.Option(parser=moment, metavar="TIME", help="Only orders made at or after this time."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(parser=moment, metavar="TIME", help="Only orders made before this time."),
    ] = None,
    settled: Annotated[bool, typer.Option("--settled", help="Report pending work as a difference.")] = False,
    only_differences: Annotated[
        bool, typer.Option("--only-differences", help="List only orders with differences.")
    ] = False,
) -> None:
    """Compare the records of orders, payments, payouts and Stripe.

    Prints a line for each order, the newest first, and a line of totals. Orders with differences come later,
    after they were checked again. Writes nothing. Pending work isn't a difference unless --settled is given.

    With ORDER, only these orders are compared. A TIME is a date or a date and time, in UTC unless it has a
    zone, or how long ago it was, such as 7d, 12h or 30m.

    \b
    Exit codes:
      0  everything agrees
      1  something differs
      2  orders, payments, payouts or Stripe can't be read, or wrong arguments
    """
    from ops.audit import compare
    from ops.audit.ledgers import Period
    from ops.audit.report import Totals, line

    for name in ("services", "kit"):  # the command itself prints errors
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if orders and (since or until):
        raise typer.BadParameter("either orders or a period")
    totals = Totals()

    async def lines() -> AsyncIterator[str]:
        async for finding in compare(load(), Period(since, until), orders or (), settled=settled):
            totals.add(finding)
            if finding.differences or not only_differences:
                yield line(finding)
        yield str(totals)

    print_lines(lines(), "The records can't be compared")
    raise typer.Exit(int(totals.wrong > 0))


@cli.command()
@logged
def refund(
    order: OrderId,
    relist: Annotated[bool, typer.Option("--relist", help="Put the ticket on sale again.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Try once more after a failed refund.")] = False,
    returned: Annotated[
        bool, typer.Option("--returned", help="Record that you returned the money after a failed refund.")
    ] = False,
) -> None:
    """Refund the buyer of an order.

    Repeating the command is harmless, except for --again. The payments service has to be running.

    \b
    Exit codes:
      0  refunded, or the refund is in progress
      1  not refunded; the reason is shown
      2  wrong arguments
    """
    from ops.refund import refund

    typer.echo(run(refund(load(), order, relist=relist, again=again, returned=returned), "Not refunded"))


@cli.command()
@logged
def cancel(order: OrderId, reason: Reason) -> None:
    """Cancel an unpaid order, so that its ticket goes on sale again.

    Repeating the command is harmless. The buyer isn't charged: an authorized payment is released. A paid
    order has to be refunded instead. The orders service has to be running.

    \b
    Exit codes:
      0  cancelled, or it had ended already
      1  not cancelled; the reason is shown
      2  wrong arguments
    """
    from ops.interventions import cancel

    typer.echo(run(cancel(load(), order, reason), "Not cancelled"))


@cli.command()
@logged
def extend(
    order: OrderId,
    minutes: Annotated[
        int | None,
        typer.Option("--minutes", min=1, max=1440, help="Minutes from now until the new deadline."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(parser=moment, metavar="TIME", help="The new deadline, such as 2027-03-01T18:30."),
    ] = None,
    reason: Reason = "",
) -> None:
    """Give the buyer of an unpaid order more time to pay.

    The deadline never becomes earlier, so repeating the command is harmless. It may be up to 24 hours after
    the reservation. A TIME is in UTC unless it has a zone. The orders service has to be running.

    \b
    Exit codes:
      0  the order has this deadline, or a later one
      1  not extended; the reason is shown
      2  wrong arguments
    """
    from contracts.wire import now
    from ops.interventions import extend

    if (minutes is None) == (until is None):
        raise typer.BadParameter("either --minutes or --until")
    deadline = until or now() + timedelta(minutes=minutes or 0)
    typer.echo(run(extend(load(), order, deadline, reason), "Not extended"))


@cli.command()
@logged
def withdraw(ticket: TicketId, reason: Reason) -> None:
    """Take a ticket off sale for good, like its seller can.

    Repeating the command is harmless. The order of a reserved ticket has to be cancelled first. The tickets
    service has to be running.

    \b
    Exit codes:
      0  withdrawn
      1  not withdrawn; the reason is shown
      2  wrong arguments
    """
    from ops.interventions import withdraw

    typer.echo(run(withdraw(load(), ticket, reason), "Not withdrawn"))


@cli.command()
@logged
def decide_problem(
    order: OrderId,
    decision: Annotated[
        Literal["refund", "partial-refund", "reject"], typer.Argument(help="What the buyer gets back.")
    ],
    reason: Reason,
    amount: Annotated[str, typer.Option(help="What a partial refund returns, such as 5.00.")] = "",
) -> None:
    """Decide on the problem that the buyer of an order reported. Buyer and seller read the reason.

    The seller has to have answered, or the time to answer has to be over. Payments returns the money, and the
    payout is reduced. Repeating the command is harmless. The orders service has to be running.

    \b
    Exit codes:
      0  decided
      1  not decided; the reason is shown
      2  wrong arguments
    """
    from ops.interventions import decide_problem

    typer.echo(run(decide_problem(load(), order, decision, reason, amount=amount), "Not decided"))


@cli.command()
@logged
def decide_listing(
    ticket: TicketId,
    decision: Annotated[Literal["remove", "keep"], typer.Argument(help="What happens to the listing.")],
    reason: Reason,
) -> None:
    """Decide on the reports of a listing, and withdraw it with `remove`.

    A reserved ticket is withdrawn if its order ends unpaid, and nobody else can reserve it. Repeating the
    command is harmless. The tickets service has to be running.

    \b
    Exit codes:
      0  decided
      1  not decided; the reason is shown
      2  wrong arguments
    """
    from ops.interventions import decide_listing

    typer.echo(run(decide_listing(load(), ticket, decision, reason), "Not decided"))


@cli.command()
@logged
def write_off(order: OrderId, reason: Reason) -> None:
    """Give up what the seller of an order owes, because a buyer got money back that the seller had got.

    The seller's next sales don't settle it any more, and Stripe isn't asked again. It can't be undone.
    Repeating the command is harmless. The payouts service has to be running.

    \b
    Exit codes:
      0  the seller owes nothing for this order any more
      1  not written off; the reason is shown
      2  wrong arguments
    """
    from ops.interventions import write_off

    typer.echo(run(write_off(load(), order, reason), "Not written off"))


@cli.command()
@logged
def merge_shows(show: ShowId, other: ShowId, reason: Reason) -> None:
    """Merge two events that are the same. The older one stays, and gets the tickets of the other.

    The page of the other leads to the one that stays. Tickets that aren't sold get its place and time.
    A merge can't be undone. Repeating the command is harmless. The tickets service has to be running.

    \b
    Exit codes:
      0  merged
      1  not merged; the reason is shown
      2  wrong arguments
    """
    from ops.interventions import merge_shows

    typer.echo(run(merge_shows(load(), show, other, reason), "Not merged"))


@cli.command()
@logged
def correct_show(
    show: ShowId,
    reason: Reason,
    facts: Annotated[
        list[str],
        typer.Option("--set", metavar="FIELD=VALUE", help="What is right, such as --set venue=Tempodrom."),
    ],
) -> None:
    """Correct an event. Its tickets that aren't sold get its place and time.

    The fields are title, performers (separated by commas), venue, city, country, timeZone, startsAt, category
    and picture. Repeating the command is harmless. The tickets service has to be running.

    \b
    Exit codes:
      0  corrected
      1  not corrected; the reason is shown
      2  wrong arguments
    """
    from ops.interventions import correct_show, facts_of

    try:
        given = facts_of(fact.partition("=")[::2] for fact in facts)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    typer.echo(run(correct_show(load(), show, given, reason), "Not corrected"))


@cli.command()
@logged
def republish(service: Annotated[Owner, typer.Argument(help="The service whose state to publish.")]) -> None:
    """Publish the current state of all tickets, orders or payments again.

    Use this for a new subscriber, or for one that was down for longer than the event stream keeps events. The
    service has to be running to publish the state. Subscribers that already have the state ignore it.

    \b
    Exit codes:
      0  the complete state is in the service's outbox
      1  the database doesn't answer; the command may be repeated
      2  wrong arguments
    """
    from ops.republish import republish

    count = run(republish(load(), service), "The state is republished only in part; repeat the command")
    typer.echo(f"{count} events of {service} are in the outbox.")


@cli.command()
@logged
def rebuild(
    service: Annotated[Follower, typer.Argument(help="The service whose replicas to rebuild.")],
) -> None:
    """Rebuild a service's replicas from the event stream.

    Services may run meanwhile. If the stream has no event of a ticket or order any more, its owner has to be
    running, because the command has the owner publish the state again. Payouts can't be rebuilt: the command
    says what to do instead.

    \b
    Exit codes:
      0  all replicas are as their owner published them last
      1  the owner didn't publish a state again, or NATS or the database doesn't answer; the command
         may be repeated. Or the service can't be rebuilt
      2  wrong arguments
    """
    from ops.rebuild import NOT_REBUILT, REPLICATIONS, rebuild

    if (reason := NOT_REBUILT.get(service)) is not None:
        fail(reason)
    owner = REPLICATIONS[service].owner
    counts = run(rebuild(load(), service), "The replicas are rebuilt only in part; repeat the command")
    typer.echo(
        f"Replicas of {owner} in {service}: {counts['right']} were right, {counts['written']} were rewritten"
        f" and {counts['removed']} were removed."
    )
    if counts["missing"]:
        fail(
            f"The stream has no event of {counts['missing']} {owner} any more. Start the {owner} service,"
            " which publishes them again, and repeat the command."
        )


@cli.command()
@logged
def suspend(
    person: Person,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; only operators see it.")],
) -> None:
    """Keep a person from signing in, and end all their sessions.

    Their orders and listings stay as they are. Repeating the command is harmless: do so if it fails. The auth
    service has to be running.

    \b
    Exit codes:
      0  suspended
      1  not suspended, or not all sessions have ended; the reason is shown
      2  wrong arguments
    """
    from ops.people import id_of, suspend

    async def act() -> str:
        return await suspend(load(), await id_of(load(), person), reason)

    typer.echo(run(act(), "Not suspended"))


@cli.command()
@logged
def lift(person: Person) -> None:
    """Lift a person's suspension. Repeating the command is harmless. The auth service has to be running.

    \b
    Exit codes:
      0  the person can sign in
      1  not lifted; the reason is shown
      2  wrong arguments
    """
    from ops.people import id_of, lift

    async def act() -> str:
        return await lift(load(), await id_of(load(), person))

    typer.echo(run(act(), "Not lifted"))


@cli.command()
@logged
def end_sessions(person: Person) -> None:
    """End all sessions of a person, who can sign in again. The auth service has to be running.

    \b
    Exit codes:
      0  ended, or there was none
      1  not all sessions have ended; the reason is shown
      2  wrong arguments
    """
    from ops.people import end_sessions, id_of

    async def act() -> str:
        return await end_sessions(load(), await id_of(load(), person))

    typer.echo(run(act(), "Not all sessions have ended"))


@cli.command()
@logged
def backup(folder: Annotated[Path, typer.Argument(help="The folder to create.")]) -> None:
    """Save all databases and streams in a new folder.

    Services may run meanwhile.

    \b
    Exit codes:
      0  the backup is complete
      1  no backup was created; the reason is shown
      2  wrong arguments
    """
    from ops.backup.save import save, summary

    manifest = run(save(load(), folder), "No backup was created")
    typer.echo(f"Saved {summary(manifest)} in {folder}.")


@cli.command()
@logged
def restore(
    folder: Annotated[Path, typer.Argument(help="A folder that `backup` created.")],
    replace: Annotated[bool, typer.Option("--replace", help="Delete the existing data.")] = False,
) -> None:
    """Restore all databases and streams from a backup.

    No service may be running.

    \b
    Exit codes:
      0  restored
      1  not restored; if nothing was changed, the message says so
      2  wrong arguments
    """
    from ops.backup.restore import restore

    consequence = "Not restored, or only in part: repeat the command with --replace"
    manifest = run(restore(load(), folder, replace=replace), consequence)
    typer.echo(
        f"Restored the state of {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC. Start the services, then"
        " run `just audit` to find payments and refunds that are newer than the backup."
    )


@cli.command()
@logged
def migrate(
    contract: Annotated[
        bool,
        typer.Option("--contract", help="Also drop the indexes that only older versions need."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would be created and dropped.")
    ] = False,
) -> None:
    """Create the indexes that this version needs and the databases lack, and the events of older listings.

    Services may run meanwhile, also older versions. A new version starts to work when its indexes are there.
    Repeating the command changes nothing. It waits up to a minute for the database, and any time for an
    index.

    Listings of earlier versions get the events that they are for, in batches. An interrupted run is continued
    by the next one. An older version that still runs lists tickets without events: run the command again
    after it has stopped.

    With --contract, no instance of an older version may be running. The indexes of the release before this
    version stay, so that you can return to it.

    \b
    Exit codes:
      0  migrated, or nothing to do
      1  the database doesn't answer, or an index can't be created; the command may be repeated
      2  wrong arguments
    """
    from ops.migrate import migrate

    run(migrate(load(), typer.echo, contract=contract, dry_run=dry_run), "Not migrated")


@cli.command()
def provision(
    with_migration: Annotated[
        bool, typer.Option("--migrate", help="Also create missing indexes at the same time, like `migrate`.")
    ] = False,
) -> None:
    """Create or update all streams and consumers of NATS JetStream.

    Repeating the command changes nothing. The command waits up to a minute for NATS.

    \b
    Exit codes:
      0  provisioned
      1  NATS doesn't answer, or rejects a request
    """
    from kit.logs import log_to_stdout
    from kit.secrets import OPERATOR, nats_servers
    from ops.provision import log, provision_servers
    from streams.topology import set_limits

    settings = load()
    log_to_stdout(settings)
    bus = nats_servers(settings, OPERATOR)

    async def provision_bus() -> None:
        await provision_servers(bus, settings.nats_replicas, set_limits(settings))
        log.info("the bus is provisioned")

    async def provision_all() -> None:
        from ops.migrate import migrate

        await asyncio.gather(provision_bus(), migrate(settings, log.info))

    run(
        provision_all() if with_migration else provision_bus(),
        f"The bus can't be provisioned with NATS_REPLICAS={settings.nats_replicas}",
    )


if __name__ == "__main__":
    cli()
