"""Loaded first by the server whose forks estimate targets: it and they end with the process they
work for, and by that alone."""

import signal
import sys

from weakseg.utils.lifeline import die_with_parent


def begin() -> None:
    """What the server does before anything else."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes
    die_with_parent()


# nobody calls a function in the server: all that it does is to import. Whoever else imports this
# file must go on to receive Ctrl+C
if any("multiprocessing.forkserver" in word for word in sys.orig_argv):
    begin()
