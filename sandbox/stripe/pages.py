"""The HTML of the front page and of the 3-D Secure check. Checkout's page is in `checkout/page.py`."""

from html import escape
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from sandbox.stripe.faults import KINDS
from sandbox.stripe.money import amount
from sandbox.stripe.state import Intent

_STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; min-height: 100vh; display: grid; place-items: center;
  background: light-dark(#f3f4f8, #14161c); color: light-dark(#1d2029, #eceef4) }
main { box-sizing: border-box; width: min(26rem, 100vw - 2rem); padding: 2rem; border-radius: .75rem;
  background: light-dark(#fff, #1f222b); box-shadow: 0 1px 3px #0003 }
h1 { font-size: 1.25rem; margin: 0 0 .75rem }
p { margin: 0 0 1rem }
.amount { font-size: 2rem; font-weight: 600; font-variant-numeric: tabular-nums }
.note { color: light-dark(#5a6072, #a3a9ba); font-size: .875rem; margin: 1.25rem 0 0 }
form { display: grid; grid-template-columns: 1fr 1fr; gap: .75rem }
button { font: inherit; padding: .625rem; border-radius: .5rem; cursor: pointer;
  border: 1px solid light-dark(#8a90a2, #737a8e); background: transparent; color: inherit }
button.primary { background: #4338ca; border-color: #4338ca; color: #fff }
"""

CHOICE_STYLE = """
form { grid-template-columns: 1fr }
fieldset { border: 0; margin: 0; padding: 0; display: grid; gap: .5rem }
legend { padding: 0; margin-bottom: .5rem; font-weight: 600 }
label { display: grid; grid-template-columns: auto 1fr; gap: 0 .75rem; align-items: center;
  padding: .625rem .75rem; border: 1px solid light-dark(#c9cdd8, #464c5d);
  border-radius: .5rem; cursor: pointer }
label:has(:checked) { border-color: light-dark(#4338ca, #a5a1ff) }
label small { grid-column: 2; color: light-dark(#5a6072, #a3a9ba) }
input { accent-color: light-dark(#4338ca, #a5a1ff); width: 1.125rem; height: 1.125rem; margin: 0 }
.alert { padding: .625rem .75rem; border-radius: .5rem; background: light-dark(#fdecec, #47191d);
  color: light-dark(#8c1620, #ffc9cd) }
a { color: light-dark(#4338ca, #a5a1ff) }
"""
"""For pages with a list of choices and an alert."""


def page(title: str, content: str, style: str = "") -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}{style}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{content}</main></body></html>"
    )


def front() -> str:
    return page(
        "Stripe sandbox",
        "<p>This server simulates the part of Stripe's API that Stagedoor uses. No real money moves.</p>"
        '<p class="note">The API is below <code>/v1</code> and accepts any key that begins with'
        " <code>sk_test_</code>.</p>"
        '<p class="note">Faults on demand: the cards <code>tok_fault_rate_limit</code>,'
        " <code>tok_fault_server_error</code>, <code>tok_fault_slow</code> and <code>tok_fault_lost</code>,"
        " or a POST to <code>/faults</code> with <code>rate</code> (0 to 1), <code>kinds</code>"
        f" ({','.join(KINDS)}), <code>requests</code> (such as <code>POST /v1/transfers</code>),"
        " <code>seed</code> and <code>slow_seconds</code> for all requests"
        " and webhooks. A GET shows the faults, and a DELETE turns them off.</p>",
    )


def challenge(intent: Intent) -> str:
    """The page of an open check. Its form posts to the page's own URL."""
    return page(
        "Confirm your payment",
        f'<p>Your bank asks you to confirm this payment.</p><p class="amount">'
        f"{escape(amount(intent.amount, intent.currency))}</p>"
        '<form method="post">'
        '<button class="primary" name="answer" value="approve">Approve</button>'
        '<button name="answer" value="refuse">Refuse</button></form>'
        '<p class="note">Sandbox payments: this page simulates the 3-D Secure check of a bank.</p>',
    )


def answered(return_url: str | None) -> str:
    """The page of a check that has been answered."""
    content = (
        f'<p><a href="{escape(return_url)}">Continue</a></p>'
        if return_url
        else "<p>You can close this page.</p>"
    )
    return page("This check is complete", content)


def unknown() -> str:
    return page("Check not found", "<p>Go back to the shop and start the payment again.</p>")


def with_intent(return_url: str, intent: Intent) -> str:
    """`return_url` with the query parameters that Stripe adds."""
    parts = urlsplit(return_url)
    query = [
        *parse_qsl(parts.query, keep_blank_values=True),
        ("payment_intent", intent.id),
        ("payment_intent_client_secret", intent.client_secret),
    ]
    return urlunsplit(parts._replace(query=urlencode(query)))
