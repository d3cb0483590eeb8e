import pytest
import torch as th

import sb3_wasserstein.envs  # noqa: F401


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    # Small networks: more threads only wait for each other.
    th.set_num_threads(1)
