"""Model types we hold no figures for: built by the optional package transformers from the same ``config.json``.

The configuration alone decides the module: random weights, no code from a repository, no network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from codesign.errors import DataError, EnvironmentLacks

if TYPE_CHECKING:
    from codesign.models.hf_config import Config
    from codesign.models.model import Model


DEFAULT_INPUTS = ("input_ids=1x128:int64",)
"""Input of a captured text model, unless the user states others with ``--input``."""


def load_transformers(path: str, config: Config, inputs: Sequence[str] | None = None) -> Model:
    """Return the model of a ``config.json`` whose type only transformers knows, captured from its module."""
    kind = str(config.get("model_type"))
    try:
        import transformers  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        from codesign.models.hf_config import FAMILIES

        raise EnvironmentLacks(
            f"{config.where}: model_type {kind!r} is none of {', '.join(sorted(FAMILIES))}",
            "others need the package transformers: pip install 'codesign[hf]'",
        ) from None
    # as in the catalogue: found by name, so that reading a known family never imports the capture
    captured: Callable[..., Model] = import_module("codesign.models.capture").captured_module
    shapes = import_module("codesign.models.input_shapes").parse_inputs(inputs or DEFAULT_INPUTS)
    return captured(partial(module_of, transformers, config), name=kind, source=f"hf:{path}", inputs=shapes)


def module_of(transformers: Any, config: Config) -> Any:
    """Return the transformers module with random weights; nothing is fetched and no remote code runs."""
    values = {name: value for name, value in config.values.items() if name not in ("model_type", "auto_map")}
    try:
        stated = transformers.AutoConfig.for_model(config.need("model_type"), **values)
        auto = transformers.AutoModelForCausalLM if _generates(config) else transformers.AutoModel
        return auto.from_config(stated, trust_remote_code=False, attn_implementation="eager").eval()
    except (ValueError, KeyError, OSError, ImportError) as error:
        first = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise DataError(f"{config.where}: transformers cannot build it: {first}", "give the module with py:") from None


def _generates(config: Config) -> bool:
    return any(str(name).endswith("ForCausalLM") for name in config.get("architectures", default=[]))
