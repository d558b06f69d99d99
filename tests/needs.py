"""What a test may lack on this machine: it is then skipped, and says why."""
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
