"""What the options of train_classifier.py choose from, without torch: `--help` takes a tenth of a
second. The tables that hold what a name stands for are in lib.classifiers and lib.augment; a test
compares the names."""

AU_HEADS = ("au", "au_level", "au_present")
# where checkpoints and models keep {AU: threshold} of each AU output
THRESHOLDS = {"au": "thresholds", "au_present": "thresholds_au_present"}
# what --tasks calls a head: the names of its losses, the default first
HEAD_LOSSES = {
    "au": ("mse", "huber", "bce", "ccc"),
    "au_level": ("ordinal", "ce"),
    "au_present": ("bce", "mse"),
    "va": ("mse", "huber", "ccc"),
    "expression": ("ce",),
}
TORCHVISION = ("vgg16", "resnet18", "resnet50", "mobilenet_v3", "convnext_tiny")
BACKBONES = ("tiny", "compact", "wide", "linear", "judge", *TORCHVISION)
REFERENCES = ("none", "image", "features")
AUGMENTATIONS = ("none", "faces", "photos", "grid")
OPTIMISERS = ("radam", "adam", "adamw", "sgd")
# of train_generator.py's --compile; the last also records CUDA graphs
COMPILE = ("off", "default", "reduce-overhead")
AU = "{au}"  # in --out of --per-au, for the AU's name
SUBJECT = "{subject}"  # in --out of --personalise, for the person


def au_outputs(heads):
    """The AU outputs that have thresholds, for the AU heads of a classifier: `au`, and
    `au_present` where its head stands beside one that reads levels. (Alone, it gives `au`.)"""
    return ["au", "au_present"] if "au_present" in heads and len(heads) > 1 else ["au"]
