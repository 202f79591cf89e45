"""Text of strangers, made fit for a terminal."""


def harmless(value: object, *, lines: bool = False) -> str:
    """The text with an escape for whatever moves the cursor or turns the writing round; none for None.

    Line feeds become escapes too, unless ``lines`` lets them stand.
    """
    text = "" if value is None else str(value)
    if lines:
        return "\n".join(harmless(line) for line in text.split("\n"))
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
