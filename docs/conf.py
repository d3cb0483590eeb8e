"""Sphinx: ``make docs``. Warnings are errors, references to our own full names are checked, guides are executed."""

import re
from importlib.metadata import version as version_of

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util.nodes import make_refnode

project = "sb3-wasserstein"
author = "the sb3-wasserstein contributors"
copyright = author
version = release = version_of("sb3-wasserstein")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"sb3-wasserstein {version}"
html_show_sourcelink = False
# The pages are read without a network, too.
html_theme_options = {"footer_icons": [], "navigation_with_keys": True}
pygments_style = "friendly"

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"show-inheritance": True}
autodoc_type_aliases = {"ArrayLike": "ArrayLike", "Sampler": "Sampler"}
nitpicky = True
# Other projects' names are text here: their inventories would have to be downloaded.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!sb3_wasserstein\.).*"),
    # Bases and argument types that have no page.
    (r"py:class", r"sb3_wasserstein\.(embeddings\.(base|features)|cloud|duals\.stochastic|population\.member)\..*"),
    (r"py:class", r"sb3_wasserstein\.(regularised\.callback|flow\.(predicting|particles\.policy))\..*"),
]


def as_mathml(translator, node):
    """LaTeX to MathML, which browsers draw themselves: no script, no font, no download."""
    block = isinstance(node, nodes.math_block)
    equation = convert(node.astext().strip(), display="block" if block else "inline")
    # On a phone a long equation is moved by itself, not the page with it.
    translator.body.append(f'<div style="overflow-x: auto; margin: 1em 0">{equation}</div>' if block else equation)
    raise nodes.SkipNode


def as_literal_blocks(app, what, name, obj, options, lines):
    """Equations stand indented in docstrings, in Unicode: their bars and underscores are no markup."""
    for number in range(1, len(lines)):
        line, before = lines[number], lines[number - 1]
        text = line.startswith("    ") and not before.strip() and not re.match(r"\s*(>>>|\.\. |:)", line)
        opens = next((previous for previous in reversed(lines[:number]) if previous.strip()), "")
        if text and not opens.startswith((" ", ":", "Example", "..")):
            lines[number - 1] = "\n::\n"
    flat = "\n".join(lines).split("\n")
    # |x| is no substitution, and Q_ no reference.
    lines[:] = [re.sub(r"(?<![`:\w])\|(?=\S)", r"\\|", line) if not line.startswith("    ") else line for line in flat]


def find_short_name(app, env, node, text):
    """Docstrings say :class:`Dual`, wherever Dual stands: a name that is there only once is found by its end."""
    objects = env.get_domain("py").objects
    found = {entry.docname: entry for name, entry in objects.items() if name.endswith("." + node.get("reftarget", "."))}
    if node.get("refdomain") != "py" or len(found) != 1:
        return None
    ((page, entry),) = found.items()
    return make_refnode(app.builder, node["refdoc"], page, entry.node_id, text)


def setup(app):
    app.add_html_math_renderer("mathml", inline_renderers=(as_mathml, None), block_renderers=(as_mathml, None))
    app.connect("autodoc-process-docstring", as_literal_blocks, priority=400)
    app.connect("missing-reference", find_short_name)


html_math_renderer = "mathml"
