from tests.web.conftest import Browser, is_page, text_of
from tests.web.market import Market


async def test_the_front_page_lists_tickets_with_their_prices(browser: Browser, market: Market) -> None:
    seller, _ = market.user("seller@example.com")
    market.ticket(seller, "Nick Cave", price="1234.50", city="Berlin")
    page = await browser.get("/")
    assert page.status_code == 200
    assert is_page(page)
    assert "Nick Cave Berlin On sale $1,234.50" in text_of(page)
