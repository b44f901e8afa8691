"""Loaded first by the server whose forks estimate targets: it and they end with the process they work for, and by that alone."""

import signal

from weakseg.lifeline import die_with_parent

signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes
die_with_parent()
