"""A machine without network."""

import urllib.request

import pytest

DEAD = 'http://127.0.0.1:9'  # Nothing listens on port 9.


@pytest.fixture
def offline(monkeypatch):
    """Every address is out of reach, at once."""
    for name in ('http_proxy', 'https_proxy'):
        monkeypatch.setenv(name, DEAD)
    monkeypatch.setenv('no_proxy', '')
    monkeypatch.setattr(urllib.request, '_opener', None)  # It remembers the proxies.
