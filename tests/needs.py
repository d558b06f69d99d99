"""What a test may lack on this machine: it is then skipped, and says why. With FACES_EM_NO_SKIPS=1,
as `make test-browser`, `test-cluster`, `test-hosts` and `test-faults` set it, it fails instead."""
import os

import pytest

from lib.cli import BadInput


def needs(check):
    """A mark that skips where check() raises BadInput, such as lib.faces.models.check."""
    try:
        check()
        absent = ""
    except BadInput as error:
        absent = str(error)
    return pytest.mark.skipif(bool(absent), reason=absent)


def lacks(reason):
    """In a test or a fixture: skip it; fail where nothing may be skipped."""
    (pytest.fail if os.environ.get("FACES_EM_NO_SKIPS") == "1" else pytest.skip)(reason)
