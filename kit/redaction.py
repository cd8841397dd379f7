"""Removing secrets and email addresses from logs, in case an error or a path contains one."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

EMAIL = "[email]"
SECRET = "[secret]"  # noqa: S105 - what replaces one

MIN_LENGTH = 8
"""The shortest secret that is recognized by its value. A shorter one could be part of ordinary words."""

_LINES = re.compile(r"\n|\\n")
"""Where a line of a PEM file ends. In a setting, the end may be written as a backslash and an n."""

# The quantifiers are bounded, so that a long text takes no quadratic time.
_PATTERNS = r"""
    (?<=://) [^\s/@"']{1,256} (?=@)                                      # user and password in a URL
  | \b(?:sk|rk)_(?:test|live)_\w{4,}                                     # Stripe's API keys
  | \bwhsec_[\w+/=]{4,}                                                  # and webhook secrets
  | \b(?:pi|seti|cs)_\w{1,128}?_secret_\w+                               # and client secrets
  | (?<![\w-]) eyJ[\w-]{4,4096}\.[\w-]{4,4096}(?:\.[\w-]{,4096})?         # JSON Web Tokens
  | \$argon2\w*\$[\w.=,+/$-]+                                            # password hashes
  | (?<=\bBearer\ ) [\w.~+/=-]{8,}
  | (?i: (?<=\bpassword=) | (?<=\bpassword%3D) ) [^\s&"',;]+
  | (?i: (?<=\bpassword":") | (?<=\bpassword":\ ") ) [^"]+                # in JSON
  | (?i: (?<=\bpassword':') | (?<=\bpassword':\ ') ) [^']+                # and in Python
  | (?P<email> [^\s@"'<>()\[\]{},;:=/?&\\|`%]{1,64} (?:@|%40) [\w-]{1,63} (?: \. [\w-]{1,63} )+ )
"""

# A text without any of these matches no pattern. Looking for them takes a fraction of the time.
_SIGNS = r"@|%40|_|eyJ|Bearer|\$argon2|(?i:password)"


_learned: set[str] = set()
"""The secrets that the process has read from files, which may be after its first log lines."""


def learn(secret: str) -> None:
    """Let all redactions replace this secret from now on."""
    _learned.add(secret)


class Redaction:
    """Replaces secrets and email addresses in texts.

    Args:
        secrets: the values of secrets in the settings. Those that the process reads from files are added.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._given = set(secrets)
        self._compile()

    def _compile(self) -> None:
        learned = len(_learned)
        # The lines of a PEM file are replaced one by one, because a message may contain only some.
        lines = {line for each in self._given | _learned for line in _LINES.split(each)}
        secrets = {line for line in lines if len(line) >= MIN_LENGTH and not line.startswith("-----")}
        # the longest first, because one may begin with another
        known = sorted(secrets, key=len, reverse=True)
        alternatives = "".join(f"{re.escape(each)}|" for each in known)
        self._signs = re.compile(alternatives + _SIGNS)
        self._pattern = re.compile(alternatives + _PATTERNS, re.VERBOSE)
        self._learned = learned  # last, so that no other thread uses the patterns before

    def text(self, text: str) -> str:
        if self._learned != len(_learned):
            self._compile()
        if self._signs.search(text) is None:
            return text
        return self._pattern.sub(_replacement, text)

    def value(self, value: Any) -> Any:
        """The value with all its texts redacted; the values of a mapping too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self.value(each) for key, each in value.items()}
        return value


def _replacement(found: re.Match[str]) -> str:
    return EMAIL if found["email"] else SECRET
