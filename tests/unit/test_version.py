import tomllib
from importlib import import_module
from pathlib import Path

from litestar import Litestar
from litestar.testing import TestClient

from contracts import VERSION
from streams import docs, tickets

ROOT = Path(__file__).parents[2]


def test_the_package_takes_its_version_from_the_contracts() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" in pyproject["project"]["dynamic"]
    module, _, attribute = pyproject["tool"]["setuptools"]["dynamic"]["version"]["attr"].rpartition(".")
    assert getattr(import_module(module), attribute) == VERSION


def test_openapi_and_asyncapi_documents_have_the_same_version() -> None:
    app = Litestar(
        docs.asyncapi_routes(tickets.stream()), openapi_config=docs.openapi("A service", "Its description")
    )
    assert app.openapi_schema.info.version == VERSION
    with TestClient(app) as client:
        assert client.get("/docs/asyncapi.json").json()["info"]["version"] == VERSION
