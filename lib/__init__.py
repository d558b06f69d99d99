"""Everything that the six scripts share."""

import os
import signal
import sys


def is_one_of_ours(path):
    """Whether a file is a script of this project: beside lib/, or in it."""
    here = os.path.dirname(os.path.abspath(__file__))
    folder = os.path.dirname(os.path.abspath(path))
    return folder in (here, os.path.dirname(here)) or folder.startswith(here + os.sep)


# Ctrl-C while a script still imports ends it without a traceback; lib.cli.run then takes over
if (
    is_one_of_ours(getattr(sys.modules["__main__"], "__file__", None) or os.sep)
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
):
    signal.signal(signal.SIGINT, signal.SIG_DFL)
