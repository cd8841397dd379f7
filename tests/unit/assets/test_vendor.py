"""Third-party files are unmodified, come with their license and load nothing from other hosts."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

VENDOR = Path(__file__).parents[3] / "static" / "vendor"
PACKAGES: list[dict[str, Any]] = json.loads((VENDOR / "manifest.json").read_text())["packages"]
FILES: dict[str, dict[str, Any]] = {
    f"{package['folder']}/{file['path']}": file for package in PACKAGES for file in package["files"]
}
SCRIPTS = sorted(name for name in FILES if name.endswith(".js"))
STYLES = sorted(name for name in FILES if name.endswith(".css"))

REMOTE = r"(?:https?:)?//[\w.-]+\.\w{2,}"
LOADED_BY_A_STYLE = re.compile(rf"""@import\s+(?:url\()?\s*["']?{REMOTE}|url\(\s*["']?{REMOTE}""", re.I)
# A script may contain links and schema ids as text. This pattern matches only code that loads a file.
LOADED_BY_A_SCRIPT = re.compile(
    rf"""(?:\bimport\s*\(|\bimportScripts\s*\(|\bfetch\s*\(|\.src\s*=|\bnew\s+(?:EventSource|WebSocket|Worker)\s*\(|
         \bfrom|^import|createElement\("(?:script|link)"\)[^;]{{0,80}})\s*["'`]{REMOTE}""",
    re.I | re.X | re.M,
)


def test_the_manifest_lists_exactly_the_files_on_disk() -> None:
    on_disk = {str(path.relative_to(VENDOR)) for path in VENDOR.rglob("*") if path.is_file()}
    assert on_disk - {"manifest.json"} == set(FILES)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_has_the_hash_and_size_in_the_manifest(name: str) -> None:
    content = (VENDOR / name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == FILES[name]["sha256"]
    assert len(content) == FILES[name]["size"]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package["name"])
def test_a_package_states_its_version_and_includes_its_license(package: dict[str, Any]) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"])
    assert package["license"] in {"0BSD", "Apache-2.0", "Bitstream-Vera", "MIT", "MPL-2.0"}
    assert "LICENSE" in {file["path"] for file in package["files"]}


@pytest.mark.parametrize("name", STYLES)
def test_a_style_loads_nothing_from_another_host(name: str) -> None:
    assert not LOADED_BY_A_STYLE.search((VENDOR / name).read_text())


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_loads_nothing_from_another_host(name: str) -> None:
    assert not LOADED_BY_A_SCRIPT.search((VENDOR / name).read_text())


@pytest.mark.parametrize("name", SCRIPTS + STYLES)
def test_no_script_or_style_refers_to_a_source_map(name: str) -> None:
    assert "# sourceMappingURL=" not in (VENDOR / name).read_text()


@pytest.mark.parametrize(
    "css",
    [
        '@import "https://fonts.example.com/a.css";',
        "@import url(//fonts.example.com/a.css);",
        "a{background:url('http://images.example.com/a.png')}",
    ],
)
def test_the_check_detects_a_style_that_loads_from_another_host(css: str) -> None:
    assert LOADED_BY_A_STYLE.search(css)


@pytest.mark.parametrize(
    "js",
    [
        'fetch("https://a.example.com/x")',
        "i.src='//a.example.com/x.js'",
        'import x from "https://a.example.com/x.js"',
    ],
)
def test_the_check_detects_a_script_that_loads_from_another_host(js: str) -> None:
    assert LOADED_BY_A_SCRIPT.search(js)
