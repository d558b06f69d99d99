"""What a test lacks skips it, or fails it where nothing may be skipped."""

import pytest
from needs import lacks


def test_lacking_skips_or_fails(monkeypatch):
    monkeypatch.delenv("FACES_EM_NO_SKIPS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no browser"):
        lacks("no browser")
    monkeypatch.setenv("FACES_EM_NO_SKIPS", "1")
    with pytest.raises(pytest.fail.Exception, match="no browser"):
        lacks("no browser")
