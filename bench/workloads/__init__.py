"""All workloads. Growth comes last, because it leaves many tickets behind."""

from bench.workloads.growth import GROWTH
from bench.workloads.live import LIVE
from bench.workloads.open_pages import OPEN_PAGES
from bench.workloads.pages import PAGES
from bench.workloads.purchases import PURCHASES
from bench.workloads.start import START
from bench.workloads.stripe_sandbox import STRIPE_SANDBOX

WORKLOADS = {**START, **PAGES, **PURCHASES, **LIVE, **STRIPE_SANDBOX, **OPEN_PAGES, **GROWTH}
