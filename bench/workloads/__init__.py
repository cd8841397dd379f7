"""All workloads. Growth comes last, because it leaves many tickets behind."""

from bench.workloads.backlog import BACKLOG
from bench.workloads.files import FILES
from bench.workloads.growth import GROWTH
from bench.workloads.live import LIVE
from bench.workloads.mail import MAIL
from bench.workloads.open_pages import OPEN_PAGES
from bench.workloads.pages import PAGES
from bench.workloads.purchases import PURCHASES
from bench.workloads.spans import SPANS
from bench.workloads.start import START
from bench.workloads.stripe_sandbox import STRIPE_SANDBOX

WORKLOADS = {
    **START,
    **PAGES,
    **PURCHASES,
    **FILES,
    **LIVE,
    **STRIPE_SANDBOX,
    **SPANS,
    **OPEN_PAGES,
    **BACKLOG,
    **MAIL,
    **GROWTH,
}
