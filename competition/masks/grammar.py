"""What is wrong with one run-length text, in words; called only for texts already found faulty."""

from competition.masks.formats import RleFormat
from competition.masks.integers import MOST_DIGITS


def first_fault(text: object, area: int, form: RleFormat) -> str | None:
    """The first fault of a text for a mask of `area` pixels with the legal range; None if legal.

    >>> first_fault("1 4 3 2", 9, RleFormat("rows"))
    "pair 2 '3 2' overlaps the run before it: a start here is 5 to 9"
    >>> first_fault("1 4 6", 9, RleFormat("rows"))
    "3 numbers: the last, '6', has no partner; the text may have been cut"
    """
    if not isinstance(text, str):
        return f"{text!r} is not text: read the file with dtype=str and keep_default_na=False"
    if text.strip(" ") == form.empty:
        return None
    tokens = [token for token in text.split(" ") if token]
    if not tokens:
        return f"no numbers; an empty mask is written {form.empty!r} here"
    for position, token in enumerate(tokens):
        if not (token.isascii() and token.isdigit()):
            return (
                f"token {position + 1}, {token!r} in pair {position // 2 + 1}, is not a number of "
                "the digits 0 to 9 parted by plain spaces"
            )
        if len(token) > MOST_DIGITS:
            return (
                f"token {position + 1}, {token!r} in pair {position // 2 + 1}, has {len(token)} "
                f"digits, and the mask {area} pixels"
            )
    if len(tokens) % 2:
        return (
            f"{len(tokens)} numbers: the last, {tokens[-1]!r}, has no partner; "
            "the text may have been cut"
        )
    walk = _fault_of_gaps if form.relative else _fault_of_starts
    return walk(list(zip(tokens[0::2], tokens[1::2], strict=True)), area, form)


def _fault_of_starts(pairs: list[tuple[str, str]], area: int, form: RleFormat) -> str | None:
    first, last = form.base, form.base + area - 1
    lowest, previous = first, first
    for index, (start_token, length_token) in enumerate(pairs):
        start, length = int(start_token), int(length_token)
        pair = f"pair {index + 1} '{start_token} {length_token}'"
        if not first <= start <= last:
            return f"{pair} starts outside the mask: a start here is {_span(lowest, last)}"
        if start < previous:
            return (
                f"{pair} starts before the pair it follows: a start here is {_span(lowest, last)}; "
                "starts that go down are those of relative text"
            )
        if start < lowest:
            return f"{pair} overlaps the run before it: a start here is {_span(lowest, last)}"
        if not 1 <= length <= last - start + 1:
            return f"{pair}: the length of this run is {_span(1, last - start + 1)}"
        lowest, previous = start + length, start
    return None


def _fault_of_gaps(pairs: list[tuple[str, str]], area: int, form: RleFormat) -> str | None:
    end = 0
    for index, (gap_token, length_token) in enumerate(pairs):
        gap, length = int(gap_token), int(length_token)
        pair = f"pair {index + 1} '{gap_token} {length_token}'"
        if end + gap >= area:
            return (
                f"{pair} starts at pixel {end + gap} of {area}: a gap here is "
                f"{_span(0, area - end - 1)}"
            )
        if not 1 <= length <= area - end - gap:
            return f"{pair}: the length of this run is {_span(1, area - end - gap)}"
        end += gap + length
    return None


def _span(low: int, high: int) -> str:
    return f"{low} to {high}" if low <= high else "no number, since the mask ended before"
