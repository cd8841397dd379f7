"""The length of front-end source lines. Biome ignores comments, and djLint doesn't check lengths."""

from pathlib import Path

ROOT = Path(__file__).parents[3]
MAX_LENGTH = 120


def test_no_line_of_a_template_script_or_style_is_longer_than_120_characters() -> None:
    files = [*(ROOT / "web/templates").rglob("*.html"), *(ROOT / "static/js").rglob("*.js")]
    files += (ROOT / "static/css").rglob("*.css")
    long_lines = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > MAX_LENGTH
    ]
    assert not long_lines
