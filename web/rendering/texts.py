"""gettext for UI texts, in the language of the current request.

`just translations` collects the texts of Python, of the templates, of emails, of the guarantees, and of the
errors of services, which pages show as well.
"""

from kit.texts import N_, _, ngettext

__all__ = ["N_", "_", "ngettext"]
