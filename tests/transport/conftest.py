"""Both ways of the inner loops: numpy's, and numba's where it is installed."""

import pytest

from sb3_wasserstein import _numba


@pytest.fixture(params=["numpy", "numba"])
def loops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "numpy":
        monkeypatch.setattr(_numba, "_compiled", lambda *_: None)
    else:
        pytest.importorskip("numba")
    return str(request.param)
