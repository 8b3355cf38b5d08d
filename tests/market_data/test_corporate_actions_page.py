"""The worked examples of docs/corporate-actions.md, run as they stand there."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

from market_data.listings import import_listings, read_listings
from market_data.store import Store

PAGE = Path(__file__).parents[2] / "docs" / "corporate-actions.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    """Return the page's blocks in a language."""
    found = [text for name, text in _BLOCK.findall(PAGE.read_text("utf-8")) if name == language]
    assert found
    return found


def test_worked_examples_print_what_the_page_says():
    runner = doctest.DocTestRunner(optionflags=doctest.REPORT_ONLY_FIRST_FAILURE)
    examples = doctest.DocTestParser().get_doctest(
        "\n".join(blocks("python")), {}, "corporate-actions.md", str(PAGE), 0
    )
    assert len(examples.examples) > 20
    told: list[str] = []
    failed, _ = runner.run(examples, out=told.append)
    assert not failed, "".join(told)


def test_the_pages_listings_can_be_imported(tmp_path: Path):
    path = tmp_path / "listings.csv"
    path.write_text(blocks("csv")[0])
    store = Store(tmp_path / "home")
    import_listings(store, path)
    assert [one.id for one in read_listings(store).securities] == ["FB~1999", "META"]
