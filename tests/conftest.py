"""What every test leaves as it found it."""

import signal

import pytest


@pytest.fixture(autouse=True)
def handlers():
    """lib.cli.run takes SIGINT and SIGTERM; in a test it runs in pytest's own process."""
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)
