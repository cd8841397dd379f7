"""Make sure that a run affects no servers but its own."""

from settings import Settings


class ForeignServers(Exception):
    """An environment variable points to a server that the run didn't start.

    Faults could affect other users of that server.
    """


def refuse_foreign_servers() -> None:
    """Make sure that faults are injected only into servers that a run starts itself.

    Raises:
        ForeignServers: lists the variables to unset.
    """
    settings = Settings()
    variables = [name.upper() for name in sorted(settings.model_fields_set) if _is_a_server(name)]
    if variables:
        raise ForeignServers(f"Faults are injected into embedded servers only: unset {', '.join(variables)}")


def _is_a_server(setting: str) -> bool:
    return setting.endswith("_url") or setting in ("stripe_key", "stripe_api_base")
