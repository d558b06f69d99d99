"""Loss terms that several generators share. Means are over all elements unless said otherwise."""
import torch
from torch.nn import functional as F

from lib.training import Draws, over_processes, row_mean


def masked_mse(predicted, true):
    """Mean of (predicted - true)² over entries where `true` is not NaN: [N,C], [N,C] -> scalar.

    Without any known entry the loss is 0 (and has a gradient of 0)."""
    known = (~torch.isnan(true)).float()
    error = (predicted - torch.nan_to_num(true)).square() * known
    return error.sum() / over_processes(known.sum()).clamp(min=1e-8)


def critic_loss(kind, real, fake):
    """Discriminator's adversarial loss on patch scores.

    'wgan-gp': E[D(fake)] - E[D(real)] (Gulrajani et al. 2017; the penalty is separate).
    'nonsaturating': softplus(D(fake)) + softplus(-D(real)) (Goodfellow et al. 2014)."""
    if kind == "wgan-gp":
        return fake.mean() - real.mean()
    return F.softplus(fake).mean() + F.softplus(-real).mean()


def deceive_loss(kind, fake):
    """Generator's adversarial loss on patch scores of its images."""
    return -fake.mean() if kind == "wgan-gp" else F.softplus(-fake).mean()


def gradient_penalty(discriminator, real, fake, draw=Draws()):
    """WGAN-GP: E[(‖∇D(x̂)‖₂ - 1)²] at random points x̂ between real and fake images [N,3,H,W].

    discriminator: image -> score, or a tuple that begins with it."""
    mix = draw.rand(len(real), 1, 1, 1, device=real.device)
    between = (mix * real + (1 - mix) * fake).detach().requires_grad_(True)
    score = discriminator(between)
    score = score[0] if isinstance(score, tuple) else score
    slope, = torch.autograd.grad(score.sum(), between, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square().mean()


def real_penalty(discriminator, real, draw=Draws()):
    """R1 on both heads: E[‖∇ score‖² + ‖∇ labels‖²] at real images [N,3,H,W] (Mescheder et al.
    2018).

    On the label head it makes adversarial patterns expensive: an invisible change of the image
    cannot move a reading whose gradient is small."""
    real = real.detach().requires_grad_(True)
    score, labels = discriminator(real)
    signs = draw.randint(2, *labels.shape, device=labels.device) * 2.0 - 1
    slope, = torch.autograd.grad(score.mean((1, 2, 3)).sum() + (labels * signs).sum(), real,
                                 create_graph=True)
    return slope.square().sum((1, 2, 3)).mean()


def critic_penalty(kind, discriminator, real, fake, draw=Draws()):
    """The gradient penalty that belongs to an adversarial loss: WGAN-GP's, or R1."""
    if kind == "wgan-gp":
        return gradient_penalty(discriminator, real, fake, draw)
    return real_penalty(discriminator, real, draw)


def pyramid_l1(edited, true, source, scales=3, emphasis=3.0, balance=0.0):
    """L1 between an edited and a true image of one person, at full, half and quarter resolution.

    The person has moved a little between the two frames; coarser scales forgive that and still see
    a mouth open. Pixels count up to 1 + `emphasis` times as much where source and true image
    differ most, since what an AU moves is a small part of a face. Pairs count in proportion to
    (their mean difference)^-balance, since a lid moves fewer pixels than a jaw. [N,3,H,W] each ->
    scalar."""
    total, share = 0.0, pair_shares(true, source, balance)
    for scale in range(scales):
        if scale:
            edited, true, source = (F.avg_pool2d(picture, 2) for picture in (edited, true, source))
        moved = (true - source).abs().mean(1, keepdim=True)
        weight = 1 + emphasis * moved / moved.amax((2, 3), keepdim=True).clamp(min=0.05)
        total = total + row_mean(share * (edited - true).abs() * weight)
    return total / scales


def pair_shares(true, source, balance, least=0.01):
    """How much each pair counts, [N,1,1,1] with mean 1: (mean |true - source| + least)^-balance,
    normalised."""
    share = ((true - source).abs().mean((1, 2, 3), keepdim=True) + least) ** -balance
    return share / over_processes(row_mean(share))


def pair_l1(edited, true, source, emphasis=0.0):
    """L1 between an edited and a true image of one person: the plain mean, or `pyramid_l1` where
    an emphasis is given.

    Plain L1 between frames is least for the input itself as long as an edit is uncertain: an AU
    moves few pixels, and all of them have drifted a little."""
    if emphasis:
        return pyramid_l1(edited, true, source, emphasis=emphasis)
    return row_mean((edited - true).abs())


def total_variation(pictures, power=2):
    """Sum over the image of |differences of neighbours|^power, mean over the batch: [N,3,H,W] ->
    scalar."""
    down = (pictures[:, :, 1:] - pictures[:, :, :-1]).abs().pow(power).sum((1, 2, 3))
    right = (pictures[..., 1:] - pictures[..., :-1]).abs().pow(power).sum((1, 2, 3))
    return (down + right).mean()


def augment(pictures, shift=3, noise=0.03, colour=0.1, draw=Draws()):
    """One random differentiable change an image (shift, brightness and contrast, noise) for every
    image that a discriminator sees (Zhao et al. 2020): it then cannot rely on pixel-exact
    patterns.

    pictures [N,3,S,S]; shift in pixels. No cutout: it would hide the AUs that the label head must
    read."""
    n, _, size, _ = pictures.shape
    device = pictures.device
    theta = torch.zeros(n, 2, 3, device=device)
    theta[:, 0, 0] = theta[:, 1, 1] = 1
    theta[:, :, 2] = (draw.rand(n, 2, device=device) * 2 - 1) * shift * 2 / size
    grid = F.affine_grid(theta, pictures.shape, align_corners=False)
    pictures = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    gain = 1 + (draw.rand(n, 1, 1, 1, device=device) * 2 - 1) * colour
    bias = (draw.rand(n, 3, 1, 1, device=device) * 2 - 1) * colour
    return pictures * gain + bias + draw.randn_like(pictures) * noise
