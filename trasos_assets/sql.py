"""SQL text, quoted: the only two ways in which a name or a value enters a statement that takes no parameters."""


def quoted(name: str) -> str:
    """An identifier in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """A string literal in single quotes."""
    return "'" + str(value).replace("'", "''") + "'"
