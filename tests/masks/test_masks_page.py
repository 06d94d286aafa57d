"""docs/masks.md is followed to the letter."""

import doctest
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "masks.md"


def test_every_example_of_the_page_gives_what_it_says() -> None:
    options = doctest.NORMALIZE_WHITESPACE
    found = doctest.testfile(str(PAGE), module_relative=False, optionflags=options)
    assert found.attempted > 25 and found.failed == 0
