"""The one-machine start: `shotline up`, `doctor`. The one package that may import every context."""
