"""A service's main as a child of `shotline up`: it ends when its parent does, however that ends.

    python -m services.local.child MODULE LOGFILE

Standard input is the reading end of a pipe whose other end only the parent has: when the parent is gone, kill -9
included, the system closes it. This holds on every system, and for the parent as a whole, where Linux' death signal
is sent when the thread ends that started the child.
"""

import importlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

from services.local import log_files

_PATIENCE = 6.0  # seconds that the drain may take: the plan's grace and a little more


def main() -> None:
    """Run the main of MODULE."""
    module, log_file = sys.argv[1:]
    threading.Thread(target=_end_with_parent, name="parent watch", daemon=True).start()
    log_files.keep_small(Path(log_file))
    importlib.import_module(module).main()


def _end_with_parent() -> None:
    os.read(0, 1)  # nothing is ever written: it returns when the parent is gone
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE)
    os._exit(1)


if __name__ == "__main__":
    main()
