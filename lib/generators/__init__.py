"""Generators, one file each. What a file must offer stands in contract.py.

To add one: write its file and name it in ARCHITECTURES.
"""
import dataclasses
import importlib

from lib.cli import BadInput
from lib.labels import Labels

ARCHITECTURES = {
    "warp-editor": "lib.generators.warp_editor",
    "expression-manipulator": "lib.generators.expression_manipulator",
    "ganimation": "lib.generators.ganimation",
    "stargan": "lib.generators.stargan",
    "fexgan": "lib.generators.fexgan",
    "gan": "lib.generators.gan",
    "conditional-gan": "lib.generators.conditional_gan",
    "conditional-wgan": "lib.generators.conditional_wgan",
    "categorical-gan": "lib.generators.categorical_gan",
    "multitask-gan": "lib.generators.multitask_gan",
    "relativistic-sampler": "lib.generators.relativistic_sampler",
}


def module(architecture):
    """The module of an architecture; BadInput for an unknown name."""
    if architecture not in ARCHITECTURES:
        raise BadInput(
            f"unknown architecture {architecture!r}; there are {', '.join(ARCHITECTURES)}"
        )
    return importlib.import_module(ARCHITECTURES[architecture])


def default_for(preset):
    """The first architecture of the table that has a preset; the first of all where none has
    it."""
    for architecture in ARCHITECTURES:
        if preset in module(architecture).PRESETS:
            return architecture
    return next(iter(ARCHITECTURES))


def configure(architecture, preset, overrides):
    """Config of a preset with some fields replaced: {'width': '32'} (texts are read as the field's
    type)."""
    source = module(architecture)
    if preset not in source.PRESETS:
        raise BadInput(
            f"unknown network preset {preset!r}; {architecture} has {', '.join(source.PRESETS)}"
        )
    config = source.Config(**source.PRESETS[preset])
    for name, value in overrides.items():
        if not hasattr(config, name):
            raise BadInput(
                f"{architecture} has no setting {name!r}; it has {', '.join(vars(config))}"
            )
        setattr(config, name, as_type(name, value, type(getattr(config, name))))
    return config


def as_type(name, value, kind):
    """A setting's text as int, float, str or bool; BadInput where it is none."""
    if kind is bool and not isinstance(value, bool):
        if str(value).lower() not in ("1", "0", "true", "false", "yes", "no"):
            raise BadInput(f"setting {name}={value}: say true or false")
        return str(value).lower() in ("1", "true", "yes")
    try:
        return kind(value)
    except ValueError:
        raise BadInput(f"setting {name}={value}: not of type {kind.__name__}") from None


def build(checkpoint):
    """The System of a finished checkpoint, with the weights that it keeps, in evaluation mode."""
    checkpoint = modern(checkpoint)
    source = module(checkpoint["architecture"])
    names = {field.name for field in dataclasses.fields(source.Config)}
    config = source.Config(**{name: value for name, value in checkpoint["config"].items()
                              if name in names})
    system = source.System(Labels(**checkpoint["labels"]), config)
    for name, weights in checkpoint["nets"].items():
        system.nets[name].load_state_dict(weights)
    for net in system.nets.values():
        net.eval()
    return system


# settings of the multitask GAN that checkpoints of the categorical GAN once had, as published
CATEGORICAL = {"stages": "shared", "fake_labels": "paper", "statistics": "both", "squash": False,
               "generator_loss": "saturating"}


def modern(checkpoint):
    """A checkpoint in today's form. Earlier ones have the generator's weights alone, call the
    warp editor `expression-manipulator` (its settings have a `head`), and the multitask GAN
    `categorical-gan` (its settings differ from CATEGORICAL); in the Expression Manipulator,
    fusion had biases in place of norms, and D's label head a bias."""
    config, architecture = dict(checkpoint["config"]), checkpoint["architecture"]
    if architecture == "categorical-gan":
        had = {**CATEGORICAL, **config}
        if any(had[name] != value for name, value in CATEGORICAL.items()):
            return {**checkpoint, "architecture": "multitask-gan", "config": had}
    if architecture == "expression-manipulator" and config.get("head") == "warp":
        architecture = "warp-editor"
    if architecture == "expression-manipulator":
        config = {"fusion_norm": False, "d_bias": True, **config}
    nets = checkpoint["nets"] if "nets" in checkpoint else {"generator": checkpoint["weights"]}
    return {**checkpoint, "architecture": architecture, "config": config, "nets": nets}
