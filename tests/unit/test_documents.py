"""Files, links, headings, settings, recipes and code names in documents exist."""

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from settings import SERVICES, ServiceName, Settings
from streams.processes import CONSUMERS

ROOT = Path(__file__).parents[2]


def files() -> Iterator[str]:
    """The files of this repository, except those in hidden and generated folders."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(name for name in folders if name[0] != "." and name != "__pycache__")
        for name in sorted(names):
            yield (Path(folder) / name).relative_to(ROOT).as_posix()


FILES = tuple(files())
ARTICLES = "web/documents/"
"""Pages of the marketplace, whose links lead to other pages."""
DOCUMENTS = tuple(file for file in FILES if file.endswith(".md") and not file.startswith(ARTICLES))
CODE = (".py", ".js", ".css", ".html", ".yaml", ".toml", ".conf", ".sh", ".json", "justfile", "env.example")

PATH = re.compile(
    r"(?:[\w.-]+/)*[\w.-]+\.(?:py|js|css|html|md|txt|toml|yaml|conf|json|png|webp)|(?:[\w.-]+/)+"
)
NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
LOOKS_LIKE_CODE = re.compile(r"[_.]|[a-z][A-Z]")
VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
METRIC_OF_A_LIBRARY = re.compile(r"(?:faststream|litestar|http)_\w+")
RECIPE = re.compile(r"just ([a-z][a-z-]*)\b")
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)

OUTSIDE = {
    # Names in other systems, with which documents compare this repository.
    *("NotFoundError", "ProblemDetailsPlugin", "JWTCookieAuth", "is_root", "max_workers", "use_revision"),
    *("msg.ack", "requireAuth", "currentUser", "findAndModify", "transactionLifetimeLimitSeconds"),
    *("authSource", "rs.initiate", "writeConcernMajorityJournalDefault"),
    "noop_writes_wait_for_write_concern.js",
    # Files that aren't in git, and a file of another project.
    *(".data", ".venv", ".database-venv", ".tools", "operators.json", "schema/compose-spec.json"),
}
"""Names in documents that this repository doesn't contain."""


EXAMPLE = re.compile("audience|featured|questions|_show.html", re.IGNORECASE)
"""Names from the examples in CONTRIBUTING.md (how to add an event, a service and a page)."""


def text_of(document: str) -> str:
    """A document without its code blocks."""
    return FENCE.sub("", (ROOT / document).read_text("utf-8"))


def quoted_in(document: str) -> set[str]:
    """The texts in backticks in a document, without the names of the examples in CONTRIBUTING.md."""
    quoted = set(re.findall(r"`([^`\n]+)`", text_of(document)))
    return {name for name in quoted if document != "CONTRIBUTING.md" or not EXAMPLE.search(name)}


@cache
def words_of_the_code() -> frozenset[str]:
    words = {name.upper() for name in Settings.model_fields}
    for file in FILES:
        if file.endswith(CODE) and "vendor/" not in file and ROOT / file != Path(__file__):
            words.update(re.findall(r"\w+", (ROOT / file).read_text("utf-8", "replace")))
            words.update(re.findall(r"\w+", file))
    return frozenset(words)


def is_known(name: str) -> bool:
    """Whether every part of a dotted name is in the code.

    Prometheus adds `_total` to counters, and the settings read a secret from the file in `NAME_FILE`.
    """
    return all(
        {part, part.removesuffix("_total"), part.removesuffix("_FILE")} & words_of_the_code()
        for part in name.split(".")
    )


def anchors_of(document: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub generates them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", document.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("service", SERVICES)
def test_the_document_of_the_architecture_has_every_service(service: ServiceName) -> None:
    document = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    port = Settings.model_fields[f"{service}_port"].default
    row = f"| {service} | {port} | `streams.{service}:app` |"
    assert row in document, f"docs/architecture.md: the table of processes needs a row: {row}"
    node = f'{service}["{service} :{port}"]'
    assert node in document, f"docs/architecture.md: the diagram needs {node}"


def test_the_table_of_events_has_every_consumer() -> None:
    document = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    missing = [consumer.name for consumer in CONSUMERS if f"`{consumer.name}`" not in document]
    assert not missing, f"docs/architecture.md: add to the table of events: {missing}"


def test_the_documented_restore_stops_every_process() -> None:
    document = (ROOT / "docs" / "operations.md").read_text("utf-8")
    (stopped,) = re.findall(r"^docker compose stop (web .*)$", document, re.MULTILINE)
    assert {*SERVICES, "web"} == set(stopped.split()), "docs/operations.md: `docker compose stop …`"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_in_a_document_exists(document: str) -> None:
    known = {"", *FILES, *(folder.as_posix() for file in FILES for folder in Path(file).parents)}
    ends = {path[at:] for path in known for at in (0, *(m.end() for m in re.finditer("/", path)))}
    paths = {quoted.rstrip("/") for quoted in quoted_in(document) if PATH.fullmatch(quoted)}
    near = (ROOT / document).parent
    assert sorted(path for path in paths - ends - OUTSIDE if not (near / path).exists()) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_relative_link_in_a_document_leads_to_a_file_and_a_heading(document: str) -> None:
    broken = []
    for link in LINK.findall(text_of(document)):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = (ROOT / document).parent / path if path else ROOT / document
        is_without_heading = target.suffix == ".md" and anchor and anchor not in anchors_of(target)
        if not target.exists() or is_without_heading:
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_recipe_in_a_document_is_in_the_justfile(document: str) -> None:
    justfile = (ROOT / "justfile").read_text("utf-8")
    recipes = set(re.findall(r"^@?([a-z][\w-]*)\b[^:\n]*:(?!=)", justfile, re.MULTILINE))
    named = {recipe for quoted in quoted_in(document) for recipe in RECIPE.findall(quoted)}
    assert sorted(named - recipes) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_code_name_in_a_document_is_in_the_code(document: str) -> None:
    quoted = {name.removesuffix("()") for name in quoted_in(document)}
    names = {name for name in quoted if NAME.fullmatch(name) and LOOKS_LIKE_CODE.search(name)} - OUTSIDE
    ours = {name for name in names if not METRIC_OF_A_LIBRARY.fullmatch(name) and not PATH.fullmatch(name)}
    assert sorted(name for name in ours if not is_known(name)) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_variable_in_a_document_is_in_the_code(document: str) -> None:
    named = {variable for quoted in quoted_in(document) for variable in VARIABLE.findall(quoted)}
    assert sorted(name for name in named - OUTSIDE if not is_known(name)) == []


def test_every_log_line_in_the_operations_document_is_in_the_code() -> None:
    table = text_of("docs/operations.md").partition("| line | means |")[2].partition("\n\n")[0]
    lines = re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE)
    code = "".join((ROOT / file).read_text("utf-8") for file in FILES if file.endswith(".py"))
    fragments = {fragment.strip(" :.") for line in lines for fragment in line.split("…")} - {"", "->"}
    assert len(lines) > 5
    assert sorted(fragment for fragment in fragments if fragment.replace("DEAD", "%s") not in code) == []


def test_the_check_of_names_finds_a_name_that_the_code_lacks() -> None:
    assert is_known("rules.next_step")
    assert not is_known("rules.no_such" + "_step")
