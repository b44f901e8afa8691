"""Loaded first by the server whose forks estimate targets: it and they end with the process they
work for, and by that alone."""

import os
import signal
import sys

from weakseg.utils.lifeline import die_with_parent


def begin() -> None:
    """What the server does before anything else."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes
    if "SLURM_JOB_ID" in os.environ:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # SLURM sends it to all processes of a job
    die_with_parent()


# nobody calls a function in the server: all that it does is to import. Whoever else imports this
# file must go on to receive Ctrl+C
if any("multiprocessing.forkserver" in word for word in sys.orig_argv):
    begin()
