"""An identity embedding: features in which images of one person are near, and other people far
away.

    python -m lib.evaluation.identity --train judge.csv labelled.csv --validation v.csv --out id.pt
    python export_onnx.py id.pt --out identity.onnx

The network learns to name the people of the column `subject`, each of whom needs two images. Its
last layer holds one prototype p_s a person; the logit of person s is SCALE (cos(f, p_s) - MARGIN
[s is true]) (CosFace, Wang et al. 2018). Other people are then compared by 1 - cos(f, f'). The
validation set has other people: of two images of one person and two of different people, how often
are the first two nearer (area under the ROC curve)? `--arch linear` is not trained but computed:
Fisherfaces (Belhumeur et al. 1997), principal components of the pixels, then the linear
discriminants of people. On registered faces of few pixels it tells people apart better than a
network does. Pairs of one person come from different sessions where the set has sessions, lest a
background give them away.
"""
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lib import augment, checkpoints, classifiers, device_data, images, manifest, model_card
from lib.cli import BadInput, GateFailed, arg, log, parse, progress, run
from lib.files import digest
from lib.training import learning_rate, set_learning_rate

SCALE, MARGIN = 16.0, 0.2
COMPONENTS = 120  # principal components before the discriminants
SAMPLES = 8  # validation images kept for the parity gate of export_onnx.py


@dataclass
class Options:
    train: list[str] = arg(nargs="+", required=True, metavar="FILE.csv",
                           help="manifests with the column subject")
    validation: str = arg(required=True, metavar="FILE.csv",
                          help="manifest of other people, to be told apart")
    out: str = arg(required=True, metavar="FILE.pt", writes="file", help="where the embedding goes")
    arch: str = arg("compact", choices=list(classifiers.BACKBONES), help="network")
    size: int = arg(0, least=0, help="image side in pixels (0: that of the first training image)")
    steps: int = arg(1000, least=1, help="training steps")
    batch: int = arg(96, least=1, help="images a step")
    learning_rate: float = arg(2e-3, least=0, help="Adam's, falling by a half cosine")
    augment: str = arg("photos", choices=list(augment.KINDS),
                       help="random changes of training images")
    min_auc: float = arg(0.0, least=0,
                         help="leave with status 4 below this area under the ROC curve")
    seed: int = arg(0, least=0, help="of everything random")
    device: str = arg("auto", choices=["auto", "cpu", "cuda"], help="where it trains")
    threads: int = arg(0, least=0, help="CPU threads (0: torch's choice)")

    def __post_init__(self):
        if not self.out.endswith(".pt"):
            raise ValueError(f"--out {self.out}: a checkpoint's name ends in .pt")


def people(parts):
    """(rows of people with two images or more, int64 [N] their people from 0, how many people).

    parts: manifests, whose rows are counted through."""
    codes = device_data.codes([subject for part in parts for subject in part.text("subject")])
    names, counts = np.unique(codes[codes >= 0], return_counts=True)
    kept = names[counts >= 2]
    if len(kept) < 2:
        raise BadInput(f"{', '.join(part.name for part in parts)}: fewer than two people with two "
                       "images each; give manifests with the column subject")
    rows = np.flatnonzero(np.isin(codes, kept))
    return rows, np.searchsorted(kept, codes[rows]), len(kept)


def margin_loss(features, prototypes, true):
    """CosFace: cross-entropy of SCALE (cos(f, p) - MARGIN at the true person). [N,F], [P,F], int64
    [N]."""
    cosines = F.normalize(features) @ F.normalize(prototypes).T  # [N,P]
    margins = MARGIN * F.one_hot(true, len(prototypes))
    return F.cross_entropy(SCALE * (cosines - margins), true)


def verification(features, subjects, sessions):
    """Area under the ROC curve of cos(f, f') over pairs of images: same person against different
    people.

    features: float [N,F]; subjects, sessions: int [N], -1 unknown. NaN where one kind of pair is
    missing."""
    from sklearn.metrics import roc_auc_score

    unit = features / np.linalg.norm(features, axis=1, keepdims=True).clip(1e-9)
    one, other = np.triu_indices(len(unit), 1)
    # an image at a time, in the order of these pairs: features of all pairs would not fit in memory
    cosines = np.concatenate([(unit[k] * unit[k + 1:]).sum(1) for k in range(len(unit))])
    # of images without a name it is not known who is alike
    known = (subjects[one] >= 0) & (subjects[other] >= 0)
    one, other, cosines = one[known], other[known], cosines[known]
    same = subjects[one] == subjects[other]
    apart = (sessions[one] != sessions[other]) | (sessions[one] < 0)
    if (same & apart).any():  # pictures of one session share background and light
        keep = ~same | apart
        cosines, same = cosines[keep], same[keep]
    if same.all() or not same.any():
        return float("nan")
    return float(roc_auc_score(same, cosines))


def train(net, prototypes, pixels, true, options, device):
    """Train net and prototypes [P,F] on pixels uint8 [N,S,S,3] of the people `true` int64 [N]."""
    optimiser = torch.optim.Adam([*net.parameters(), prototypes], options.learning_rate,
                                 weight_decay=1e-5)
    draws = torch.Generator(device=device).manual_seed(options.seed)
    net.train()
    for step in progress(range(options.steps), what="identity", unit="step"):
        rate = learning_rate(options.learning_rate, step, options.steps, "cosine", 50)
        set_learning_rate(optimiser, rate)
        rows = torch.randint(len(pixels), (options.batch,), generator=draws, device=device)
        pictures = augment.augment(device_data.to_float(pixels[rows]), options.augment, draws)
        loss = margin_loss(net(pictures)["features"], prototypes, true[rows])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if step % 100 == 99:
            log(f"step {step + 1}: loss {loss.item():.3f}")


def fisherfaces(layer, pixels, true, seed):
    """Set the linear layer's weights to Fisher's discriminants of the people `true` int64 [N] in
    pixels uint8 [N,S,S,3]."""
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    rows = device_data.to_float(torch.from_numpy(pixels)).flatten(1).numpy()
    components = min(COMPONENTS, *rows.shape)
    principal = PCA(components, svd_solver="randomized", random_state=seed).fit(
        rows[::max(1, len(rows) // 5000)]
    )
    count = min(layer.out_features, true.max(), components)
    discriminants = LinearDiscriminantAnalysis(n_components=count)
    discriminants.fit(principal.transform(rows), true)
    # both transforms are affine: what a grey picture (0) and each single component become is all
    # of them
    zero = discriminants.transform(principal.transform(np.zeros_like(rows[:1])))[0]  # [F]
    origin = discriminants.transform(np.zeros((1, components)))
    # [F,3·S·S]
    weights = (discriminants.transform(np.eye(components)) - origin).T @ principal.components_
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
        layer.weight[:len(weights)] = torch.from_numpy(weights).to(layer.weight)
        layer.bias[:len(zero)] = torch.from_numpy(zero).to(layer.bias)


def score(net, checked, size, device):
    """(area under the ROC curve of the validation people, their pixels)."""
    found = device_data.Set(checked, [], size, device)
    features = classifiers.predict(net, found.pixels)["features"].cpu().numpy()
    sessions = device_data.codes(checked.text("session"))
    return verification(features, found.subject.cpu().numpy(), sessions), found.pixels


def main():
    options = parse(Options, __doc__)
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)  # numbers near 0 are slow on CPUs
    checkpoints.seed_all(options.seed)
    device = device_data.device(options.device)
    parts = [manifest.read(path) for path in options.train]
    checked = manifest.read(options.validation)
    for part in parts:
        manifest.check_disjoint(part, checked)
    rows, true, count = people(parts)
    size = options.size or len(images.load(parts[0].images()[0]))
    config = {"architecture": options.arch, "size": size, "aus": 0}
    net = classifiers.build(config).to(device, memory_format=torch.channels_last)
    prototypes = nn.Parameter(torch.randn(count, net.backbone.width, device=device))
    pixels = np.concatenate([images.load_all(part.images(), size) for part in parts])[rows]
    log(f"{len(rows)} images of {count} people, {size} px")
    if options.arch == "linear":
        fisherfaces(net.backbone.features, pixels, true, options.seed)
    else:
        train(net, prototypes, torch.from_numpy(pixels).to(device),
              torch.from_numpy(true).to(device), options, device)
    auc, shown = score(net, checked, size, device)
    log(f"{options.out}: two images of one person are nearer than two of different people "
        f"in {auc:.1%} of cases")
    if not auc >= options.min_auc:
        raise GateFailed(f"{options.out}: area under the ROC curve {auc:.3f} is below --min-auc "
                         f"{options.min_auc:g}")
    checkpoints.save(options.out,
                     {"kind": "classifier", "config": config, "weights": net.state_dict(),
                      "samples": shown[:SAMPLES],
                      "labels": {"aus": [], "valence_arousal": False, "expressions": []},
                      "architecture": options.arch, "thresholds": {},
                      "registration": manifest.registration(parts, checked), "identity_auc": auc,
                      "trained_on": digest(*(part.digest() for part in parts)),
                      "training_sets": [model_card.facts(part) for part in parts]})


if __name__ == "__main__":
    run(main)
