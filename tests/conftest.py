"""What all tests share."""

from __future__ import annotations

import signal

# A script that runs the tests in the background lets them ignore Ctrl-C, and with them all that they start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
