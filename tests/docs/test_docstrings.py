"""Every public name says what it takes and shows how it is used; the examples run."""

import doctest
import importlib
import inspect
import pkgutil
import re

import pytest
from pages import PAGES

import sb3_wasserstein

PACKAGE = "sb3_wasserstein"
MODULES = [module.name for module in pkgutil.walk_packages(sb3_wasserstein.__path__, f"{PACKAGE}.")]
#: modules without an export list, whose names are public all the same
PUBLIC = {
    "regularised.contrib": ("WassersteinTRPO", "WassersteinRecurrentPPO", "WassersteinMaskablePPO"),
    "figures": ("plot_grid_paths", "plot_behaviour", "plot_parting", "plot_plane"),
    "tensorboard": ("TensorboardCallback",),
}


def needs_an_extra(error):
    """numba's own modules are imported by name alone, and know of no extra."""
    return "sb3-wasserstein[" in str(error) or error.name == "numba"


def public_objects():
    """Every class and function of every export list, once."""
    found = {}
    for name in [PACKAGE, *MODULES]:
        if name == f"{PACKAGE}.demos":  # of the command line
            continue
        listed = PUBLIC.get(name.removeprefix(f"{PACKAGE}."))
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            if not needs_an_extra(error):
                raise
            continue
        for public in listed or getattr(module, "__all__", ()):
            value = getattr(module, public)
            if inspect.isclass(value) or inspect.isfunction(value):
                found[f"{value.__module__}.{value.__qualname__}"] = value
    return found


OBJECTS = public_objects()


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    if name == f"{PACKAGE}.figures":
        pytest.importorskip("matplotlib", reason="needs the extra figures")
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if not needs_an_extra(error):
            raise
        pytest.skip(str(error))
    failures, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failures == 0


def test_there_is_something_to_look_at() -> None:
    assert len(OBJECTS) > 55


@pytest.mark.parametrize("name", OBJECTS)
def test_every_public_name_shows_an_example(name) -> None:
    text = inspect.getdoc(OBJECTS[name])
    assert text, name
    assert "\nExample:\n    >>> " in text, name
    assert doctest.DocTestParser().get_examples(text), name


@pytest.mark.parametrize("name", OBJECTS)
def test_every_public_name_describes_its_parameters(name) -> None:
    value = OBJECTS[name]
    if isinstance(value, type) and issubclass(value, BaseException) and "__init__" not in vars(value):
        return
    # What a class inherits, its bases describe.
    text = "\n".join(inspect.getdoc(part) or "" for part in (value.__mro__ if inspect.isclass(value) else [value]))
    for parameter in inspect.signature(value).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.name.startswith("_"):
            continue
        assert f":param {parameter.name}:" in text, f"{name}: {parameter.name}"
    if inspect.isfunction(value):
        assert ":return:" in text, name


def test_every_public_name_stands_in_the_pages() -> None:
    pages = "\n".join(page.read_text() for page in PAGES)
    named = {name.rsplit(".", 1)[1] for name in re.findall(r"^\.\. auto(?:class|function|exception):: (\S+)", pages, re.M)}
    modules = set(re.findall(r"^\.\. automodule:: (\S+)\n   :members:", pages, re.M))
    missing = {name for name, value in OBJECTS.items() if value.__name__ not in named and value.__module__ not in modules}
    assert missing == set()
