import sb3_wasserstein


def test_version_is_the_installed_one() -> None:
    from importlib.metadata import version

    assert version("sb3-wasserstein") == sb3_wasserstein.__version__
