import pytest
import torch as th
from threadpoolctl import ThreadpoolController

import sb3_wasserstein.envs  # noqa: F401


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    # Small networks and small clouds: more threads only wait for each other.
    th.set_num_threads(1)
    for library in ThreadpoolController().select(user_api="blas").lib_controllers:
        library.set_num_threads(1)
