"""Derived products in a Faust application: `headwater run --runner faust`, and what an ejected file imports.

products = products_on_faust("airports.hourly_punctuality")
app = faust.App(**products.settings())
products.join(app)
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from headwater.errors import CallerFault, NotSupported
from headwater.hooks import Hooks
from headwater.mesh.load import load_mesh
from headwater.ports.kafka import KafkaBroker
from headwater.processing.runners.faust import FaustProducts, make_app, run_app
from headwater.processing.runners.faust_cluster import broker_settings
from headwater.processing.runners.kafka import derived_plans
from headwater.processing.surroundings import Surroundings
from headwater.schemas.registry_http import HttpRegistry
from headwater.settings import environment_of, load_settings
from headwater.timeline.clock import SystemClock

STALL_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Way:
    """How `headwater run` wants the products of an application run: what an imported file takes over."""

    around: Surroundings
    stall_seconds: int = STALL_SECONDS
    web_port: int = 0


@dataclass(frozen=True, slots=True)
class AppFile:
    """A file with an application, and what is in it."""

    path: Path
    text: bytes


_way: list[Way] = []


def products_on_faust(*names: str) -> FaustProducts:
    """The derived products of these names, to join a Faust application. Mesh and environment are found as by every
    command; under `headwater run` its options count.

    Raises what `headwater run` raises: `CallerFault` for a product that is not derived, whose topics are missing, or
    that another runner has; `NotSupported` HW-P211 for a cluster that Faust is not told how to reach.
    """
    way = _way[-1] if _way else Way(_surroundings())
    plans = derived_plans(way.around.mesh, names)
    settings = {**_broker(way.around.mesh), **_web(way.web_port)}
    return FaustProducts(plans, way.around, settings, stall_seconds=way.stall_seconds)


def run_on_faust(names: tuple[str, ...], way: Way, app: AppFile | None = None) -> None:
    """Run until SIGTERM or Ctrl-C: the application of a file, or one with nothing of the user's own.

    Raises `NotSupported` HW-P212 where Faust is not installed, and what has ended the products.
    """
    require_faust()
    _way.append(way)
    if app is None:
        products = products_on_faust(*names)
        run_app(make_app(products), products)
        return
    module = _imported(app)
    joined, made = getattr(module, "products", None), getattr(module, "app", None)
    if not isinstance(joined, FaustProducts) or made is None:
        raise CallerFault(
            f"{app.path.name} has no 'app' with 'products' of Headwater's joined to it",
            code="HW-P217",
            hint="headwater runner faust eject PRODUCT writes one that has both",
        )
    run_app(made, joined)


def require_faust() -> None:
    """Raises `NotSupported` HW-P212 where the extra is missing."""
    try:
        import faust  # noqa: F401
    except ImportError:
        raise NotSupported(
            "the faust runner needs Faust, which is not installed",
            code="HW-P212",
            detail="it is an extra of Headwater: no other part needs it",
            hint="pip install 'headwater[faust]', or run the product with --runner kafka",
        ) from None


def _imported(app: AppFile) -> ModuleType:
    name = f"headwater_app_{app.path.stem}"
    module = ModuleType(name)
    module.__file__ = str(app.path)
    sys.modules[name] = module
    try:
        code = compile(app.text, str(app.path), "exec")
    except (SyntaxError, ValueError) as error:
        raise CallerFault(
            f"{app.path.name} cannot be read: {error}", code="HW-P217", hint="mend it, or eject it anew"
        ) from None
    exec(code, module.__dict__)  # noqa: S102 - the user's own application, which is to run
    return module


def _surroundings() -> Surroundings:
    settings, clock, hooks = load_settings(), SystemClock(), Hooks()
    mesh = load_mesh(settings.mesh_folder)
    environment = environment_of(settings, mesh.file)
    return Surroundings(
        broker=KafkaBroker(environment.kafka, clock=clock, hooks=hooks),
        registry=HttpRegistry(environment.registry_url),
        mesh=mesh,
        folder=settings.data_folder / "state",
        clock=clock,
        hooks=hooks,
    )


def _broker(mesh: Any) -> Mapping[str, Any]:
    return broker_settings(environment_of(load_settings(), mesh.file).kafka)


def _web(port: int) -> Mapping[str, Any]:
    if not port:
        return {"web_enabled": False}
    return {"web_enabled": True, "web_bind": "127.0.0.1", "web_host": "127.0.0.1", "web_port": port}
