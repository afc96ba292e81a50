"""The application of a product as a file: what the runner would make by itself, written out for the user to extend."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from headwater.errors import Finding
from headwater.processing.steps import Plan, topics_of

APP_FILE = "faust_app.py"

_HEAD = '''"""The Faust application of {product}, major {major}: yours to extend.

Written by `headwater runner faust eject`.

The agents below hand over to the product's stages, which read, compute and commit by themselves: leave them as they
are. What you add runs beside them, with Faust's own guarantee: at least once.

Run it: headwater run {product} --runner faust{app}
"""

from __future__ import annotations

import faust

from headwater.sdk.on_faust import products_on_faust

products = products_on_faust("{product}")
app = faust.App(**products.settings())
products.join(app)
'''
_AGENT = '''

@app.agent(products.topic(app, "{topic}"), concurrency=1)
async def {function}(stream: faust.Stream) -> None:
    """Read by {stages}."""
    await products.take(stream)
'''
_TAIL = """

# Agents, timers and web views of your own, from here on. For example:
#
# @app.timer(interval=60.0)
# async def still_here() -> None:
#     ...
"""


def app_text(plan: Plan, file: Path | None = None) -> str:
    """The file; `file` is where it will lie, if that is not beside the flow."""
    readers: dict[str, list[str]] = {}
    for stage in plan.stages:
        for topic in topics_of(stage):
            readers.setdefault(topic, []).append(f"stage '{stage.name}'")
    app = f" --app {file}" if file is not None else ""
    head = _HEAD.format(product=plan.product, major=plan.major, app=app)
    agents = [
        _AGENT.format(topic=topic, function=re.sub(r"\W", "_", topic), stages=", ".join(stages))
        for topic, stages in readers.items()
    ]
    return head + "".join(agents) + _TAIL


def check_app(text: bytes, place: str) -> list[Finding]:
    """What is wrong with the application in a product's folder: HW-P210 where it asks Faust for `exactly_once`. It is
    read, and not executed. `place` is the folder as findings name it.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return []  # whoever runs it is told
    findings = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg == "processing_guarantee" and "exactly_once" in ast.unparse(keyword.value).lower():
                    findings.append(_refused(f"{place}/{APP_FILE}", keyword.value))
        elif isinstance(node, ast.Assign):
            target = ast.unparse(node.targets[0])
            if target.endswith("processing_guarantee") and "exactly_once" in ast.unparse(node.value).lower():
                findings.append(_refused(f"{place}/{APP_FILE}", node.value))
    return findings


def _refused(file: str, value: ast.expr) -> Finding:
    return Finding(
        "HW-P210",
        "error",
        file,
        value.lineno,
        value.col_offset + 1,
        "processing_guarantee",
        "Faust's processing_guarantee exactly_once is refused",
        "a member that lost its partitions is not fenced, so that records double or go missing",
        "leave it out: the product's records are exactly once without it",
    )
