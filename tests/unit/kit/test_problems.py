from contracts.problems import ProblemItem
from kit.http.problems import _item


def test_braces_in_a_message_are_text() -> None:
    message = "{label.__class__} {0} {missing}"
    ours = _item({"type": "price_low", "msg": message, "loc": ("price",)})
    assert ours == ProblemItem(message=message, field="price")
    of_pydantic = _item({"type": "new_in_pydantic", "msg": message, "loc": ("price",), "url": "https://docs"})
    assert of_pydantic == ProblemItem(message=f"Price: {message}", field="price")
