"""Both ways of the inner loops: numpy's, and numba's where it is installed."""

import pytest

from sb3_wasserstein import _numba as extra


@pytest.fixture(params=["numpy", "numba"])
def loops(request, monkeypatch):
    if request.param == "numpy":
        monkeypatch.setattr(extra, "_compiled", lambda *_: None)
    else:
        pytest.importorskip("numba")
        monkeypatch.setattr(extra, "LEAST_ENTRIES", 1)
    return request.param
