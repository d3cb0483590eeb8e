import pytest
import torch as th
from threadpoolctl import ThreadpoolController

import sb3_wasserstein.envs  # noqa: F401
from sb3_wasserstein import _numba


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    # Small networks and small clouds: more threads only wait for each other.
    th.set_num_threads(1)
    for library in ThreadpoolController().select(user_api="blas").lib_controllers:
        library.set_num_threads(1)


@pytest.fixture(params=["numpy", "numba"])
def loops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of the inner loops: numpy's, and numba's where it is installed."""
    if request.param == "numpy":
        monkeypatch.setattr(_numba, "_compiled", lambda *_: None)
    else:
        pytest.importorskip("numba")
    return str(request.param)
