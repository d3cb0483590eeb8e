import inspect

import pytest

import sb3_wasserstein


def test_version_is_the_installed_one() -> None:
    from importlib.metadata import version

    assert version("sb3-wasserstein") == sb3_wasserstein.__version__


def test_what_is_public_is_what_dir_shows() -> None:
    assert dir(sb3_wasserstein) == sorted([*sb3_wasserstein.__all__, "__version__"])
    assert all(hasattr(sb3_wasserstein, name) for name in sb3_wasserstein.__all__)


@pytest.mark.parametrize("name", ["WassersteinPPO", "WassersteinA2C", "WassersteinSAC", "WassersteinTD3", "ImitationPPO"])
def test_the_signature_shows_sb3s_arguments_and_ours(name: str) -> None:
    cls = getattr(sb3_wasserstein, name)
    parent = next(base for base in cls.__mro__ if base.__module__.startswith("stable_baselines3"))
    shown, theirs = inspect.signature(cls), inspect.signature(parent)
    public = {parameter for parameter in theirs.parameters if not parameter.startswith("_")}
    assert public | {"wasserstein_coef", "embedding"} <= shown.parameters.keys()
    assert ("target" in shown.parameters) == (name != "ImitationPPO")
    if name != "ImitationPPO":
        # By position as SB3 has them.
        assert list(shown.parameters)[: len(public)] == [one for one in theirs.parameters if one in public]
    assert shown.parameters["embedding"].kind is inspect.Parameter.KEYWORD_ONLY
    assert not {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL} & {p.kind for p in shown.parameters.values()}
