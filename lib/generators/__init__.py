"""Published generators, one file each. A module here offers `Config`, `PRESETS`, `System` and `make_batch`.

To add one: write its file and name it in ARCHITECTURES.
"""
import importlib

from lib.cli import BadInput

ARCHITECTURES = {
    "expression-manipulator": "lib.generators.expression_manipulator",
}


def module(architecture):
    """The module of an architecture; BadInput for an unknown name."""
    if architecture not in ARCHITECTURES:
        raise BadInput(f"unknown architecture {architecture!r}; there are {', '.join(ARCHITECTURES)}")
    return importlib.import_module(ARCHITECTURES[architecture])


def configure(architecture, preset, overrides):
    """Config of a preset with some fields replaced: {'width': '32'} (texts are read as the field's type)."""
    source = module(architecture)
    if preset not in source.PRESETS:
        raise BadInput(f"unknown network preset {preset!r}; {architecture} has {', '.join(source.PRESETS)}")
    config = source.Config(**source.PRESETS[preset])
    for name, value in overrides.items():
        if not hasattr(config, name):
            raise BadInput(f"{architecture} has no setting {name!r}; it has {', '.join(vars(config))}")
        kind = type(getattr(config, name))
        try:
            setattr(config, name, value in ("1", "true", "True") if kind is bool else kind(value))
        except ValueError:
            raise BadInput(f"setting {name}={value}: not of type {kind.__name__}") from None
    return config


def build(checkpoint):
    """The generator of a checkpoint, with its averaged weights, in evaluation mode.

    Its `edit(image [N,3,S,S] in [-1,1], source [N,C], target [N,C])` gives images of the same shape."""
    system = module(checkpoint["architecture"]).System(len(checkpoint["labels"]["aus"]), checkpoint["config"])
    system.generator.load_state_dict(checkpoint["weights"])
    return system.generator.eval()
