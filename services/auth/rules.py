"""What auth answers no with."""

from services.kit.errors import Conflict, Forbidden, NotSignedIn


class EmailInUse(Conflict):
    message = "Email in use"


class InvalidCredentials(NotSignedIn):
    """The same for an unknown user and a wrong password: neither tells which addresses exist."""

    message = "Invalid credentials"


class WrongPassword(Forbidden):
    message = "That isn't your present password"
