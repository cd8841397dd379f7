"""JavaScript modules import each other by addresses that change with their content."""

import re
from graphlib import CycleError
from pathlib import Path

import pytest

from web.rendering.assets import MODULES, STATIC, read_modules


def write(folder: Path, **modules: str) -> Path:
    for name, source in modules.items():
        (folder / f"{name}.js").write_text(source)
    return folder / "main.js"


def test_the_entry_module_imports_every_script_directly_or_indirectly() -> None:
    assert {path.name for path in (STATIC / "js").rglob("*.js")} == set(MODULES)


def test_every_import_uses_the_address_of_an_existing_module() -> None:
    addresses = {module.address for module in MODULES.values()}
    for module in MODULES.values():
        imports = re.findall(r'^(?:import|\} from) .*?"(.*?)";$', module.content.decode(), re.MULTILINE)
        assert set(imports) <= addresses


def test_imports_across_folders_are_rewritten(tmp_path: Path) -> None:
    entry = write(tmp_path, main='import "./live/page.js";')
    (tmp_path / "live").mkdir()
    write(tmp_path / "live", page='import {\n  one,\n  two,\n} from "../parts.js";')
    write(tmp_path, parts="export const one = 1;\nexport const two = 2;")
    modules = read_modules(entry)
    assert modules["main.js"].content.decode() == f'import "{modules["page.js"].address}";'
    assert f'}} from "{modules["parts.js"].address}";' in modules["page.js"].content.decode()


def test_a_changed_module_changes_the_addresses_of_its_importers_only(tmp_path: Path) -> None:
    entry = write(tmp_path, main='import "./a.js";\nimport "./b.js";', a='import "./c.js";', b="1;", c="1;")
    before = read_modules(entry)
    write(tmp_path, c="2;")
    after = read_modules(entry)
    changed = {name for name, module in after.items() if module.address != before[name].address}
    assert changed == {"main.js", "a.js", "c.js"}


def test_cyclic_imports_are_rejected(tmp_path: Path) -> None:
    entry = write(tmp_path, main='import "./a.js";', a='import "./main.js";')
    with pytest.raises(CycleError):
        read_modules(entry)


def test_two_modules_with_the_same_file_name_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    write(tmp_path / "live", a="1;")
    entry = write(tmp_path, main='import "./a.js";\nimport "./live/a.js";', a="2;")
    with pytest.raises(ValueError, match="same file name"):
        read_modules(entry)


def test_no_script_inserts_text_as_html() -> None:
    html = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|\beval\("
    )
    scripts = sorted((STATIC / "js").rglob("*.js"))
    assert len(scripts) > 10
    assert [script.name for script in scripts if html.search(script.read_text("utf-8"))] == []
