"""Errors of auth."""

from kit.errors import Conflict, Forbidden, Invalid, NotSignedIn


class EmailInUse(Conflict):
    message = "Email in use"


class WeakPassword(Invalid):
    message = "Password is too easy to guess"


class InvalidCredentials(NotSignedIn):
    """Unknown user or wrong password.

    The error is the same for both, so that nobody can find out which addresses have accounts.
    """

    message = "Invalid credentials"


class WrongPassword(Forbidden):
    message = "Your current password is wrong"
