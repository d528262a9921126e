"""The terminal: how wide it is, and that text which comes from elsewhere is shown on it, never obeyed."""

from rich.console import Console

_ENDLESS = 100_000  # columns


def console(*, errors: bool = False) -> Console:
    """The terminal, or what stands in its place; paths and ids are never coloured by guess."""
    out = Console(stderr=errors, highlight=False)
    # A file or a pipe has no width: nothing is cut for it.
    return out if out.is_terminal else Console(stderr=errors, highlight=False, width=_ENDLESS)


def printable(text: str) -> str:
    """The text with what would steer a terminal made visible."""
    return "".join(char if char.isprintable() or char in "\n\t" else f"\\u{ord(char):04x}" for char in text)
