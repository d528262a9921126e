"""How the demo tells its story: numbered steps on a terminal, and promises that are checked."""

from rich.console import Console
from rich.rule import Rule
from rich.text import Text


class Broken(Exception):
    """Something is not as promised."""


class Story:
    """Numbered steps on a terminal, and the promises that each of them checks."""

    def __init__(self) -> None:
        # A log file is given the width of a page.
        terminal = Console(highlight=False)
        self._out = terminal if terminal.is_terminal else Console(highlight=False, width=100)
        self._step = 0
        self.kept = 0

    def step(self, title: str, told: str) -> None:
        """Begin a step."""
        self._step += 1
        self._out.print()
        self._out.print(Rule(Text(f"{self._step}. {title}", style="bold cyan"), align="left", style="cyan"))
        self._out.print(Text(told))
        self._out.print()

    def shows(self, said: str, style: str = "") -> None:
        """Something to look at: a request, an answer, a piece of a file."""
        for line in said.splitlines():
            self._out.print(Text(f"    {line}", style=style), no_wrap=True, overflow="ellipsis")

    def promise(self, kept: bool, said: str) -> None:
        """One thing that must hold."""
        self._out.print(Text(f"  {'✓' if kept else '✗'} {said}", style="green" if kept else "bold red"))
        if not kept:
            raise Broken(said)
        self.kept += 1

    def end(self, said: str, style: str) -> None:
        """The last line."""
        self._out.print()
        self._out.print(Text(said, style=style))
