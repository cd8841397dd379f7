import pytest

from services.auth.rules import PasskeyCopied, check_sign_count


@pytest.mark.parametrize(("stored", "reported"), [(0, 0), (0, 1), (1, 2), (5, 9)])
def test_an_authenticator_counts_up_or_not_at_all(stored: int, reported: int) -> None:
    check_sign_count(stored, reported)


@pytest.mark.parametrize(("stored", "reported"), [(1, 1), (5, 4), (1, 0)])
def test_an_authenticator_that_counts_backwards_may_be_a_copy(stored: int, reported: int) -> None:
    with pytest.raises(PasskeyCopied):
        check_sign_count(stored, reported)
