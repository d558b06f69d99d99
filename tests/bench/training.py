"""The Expression Manipulator's training cycle at paper size (4 discriminator steps, 1 generator
step, batch 4, 128 px) against an eager float32 step in the order of the authors' public code, with
the same networks and the same losses. Seconds are of the processor, all threads together: other
work on the machine then hardly counts.
"""

import copy
import dataclasses
import time

import numpy as np
import torch

from lib.generators import contract, expression_manipulator
from lib.labels import Labels
from tests.bench.common import Row, interleaved, speedup

AUS = tuple(f"AU{i:02d}" for i in (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26))

SAME = 1e-3  # of a loss; after a step the weights differ by rounding, which Adam's sign enlarges


def batch_of(count, size, aus):
    """An EditBatch of random pictures whose labels are all known."""
    draw = torch.Generator().manual_seed(0)
    source, target = (torch.rand(count, aus, generator=draw) for _ in range(2))
    return contract.EditBatch(
        x_real=torch.rand(count, 3, size, size, generator=draw) * 2 - 1,
        labels={"au": source},
        y_org=source,
        y_trg=target,
        known=torch.ones(count, aus, dtype=torch.bool),
        kinds=["permuted"] * count,
    )


class Reference:
    """Ling et al.'s step as their code orders it: D on real and fake images, then the gradient
    penalty as a second step of the same optimiser; on every fourth batch G's three passes (edit,
    itself, and back)."""

    def __init__(self, system):
        self.config = system.config
        self.g, self.d = copy.deepcopy(system.generator), copy.deepcopy(system.discriminator)
        adam = lambda net: torch.optim.Adam(
            net.parameters(), lr=system.config.learning_rate, betas=(0.5, 0.999)
        )
        self.g_optimiser, self.d_optimiser = adam(self.g), adam(self.d)

    def step(self, batch, step):
        """One step; {term: scalar} under the names of the system."""
        config, mse = self.config, torch.nn.functional.mse_loss
        x_real, relative = batch.x_real, batch.y_trg - batch.y_org
        with torch.no_grad():
            x_fake = self.g(x_real, relative)
        real, reading = self.d(x_real)
        fake, _ = self.d(x_fake)
        terms = {
            "d_adversarial": fake.mean() - real.mean(),
            "d_condition": mse(reading, batch.y_org),
        }
        self.learn(
            self.d_optimiser,
            config.w_adversarial * terms["d_adversarial"]
            + config.w_condition * terms["d_condition"],
        )
        mix = torch.rand(len(x_real), 1, 1, 1)
        between = (mix * x_real + (1 - mix) * x_fake).requires_grad_(True)
        (slope,) = torch.autograd.grad(self.d(between)[0].sum(), between, create_graph=True)
        terms["d_penalty"] = (slope.flatten(1).norm(2, 1) - 1).pow(2).mean()
        self.learn(self.d_optimiser, config.w_penalty * terms["d_penalty"])
        if (step + 1) % config.g_every == 0:
            terms |= self.generator_step(batch, relative)
        return {name: value.detach() for name, value in terms.items()}

    def generator_step(self, batch, relative):
        """G's losses and its step."""
        config, l1, mse = self.config, torch.nn.functional.l1_loss, torch.nn.functional.mse_loss
        x_real = batch.x_real
        x_fake = self.g(x_real, relative)
        score, reading = self.d(x_fake)
        x_same, x_back = self.g(x_real, torch.zeros_like(relative)), self.g(x_fake, -relative)
        smooth = (x_fake[:, :, 1:] - x_fake[:, :, :-1]).abs().sum() + (
            x_fake[..., 1:] - x_fake[..., :-1]
        ).abs().sum()
        terms = {
            "g_adversarial": -score.mean(),
            "g_condition": mse(reading, batch.y_trg),
            "g_self": l1(x_same, x_real),
            "g_cycle": l1(x_back, x_real),
            "g_smooth": smooth,
        }
        self.learn(
            self.g_optimiser,
            sum(getattr(config, "w" + name[1:]) * value for name, value in terms.items()),
        )
        return terms

    def learn(self, optimiser, loss):
        """Backward and one step."""
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def largest_difference(system, reference, batch, steps):
    """The largest difference of a loss, relative to the loss, over some steps with the same random
    numbers."""
    worst = 0.0
    for step in range(steps):
        torch.manual_seed(step)
        ours = system.step(batch, step)
        torch.manual_seed(step)
        for name, value in reference.step(batch, step).items():
            worst = max(worst, float((ours[name] - value).abs() / value.abs().clamp(min=1e-3)))
    return worst


def build(**settings):
    """(System, Reference) with the same weights; the system's lie as train_generator.py lays
    them."""
    torch.manual_seed(0)
    system = expression_manipulator.System(
        Labels(aus=AUS), expression_manipulator.Config(**settings)
    )
    reference = Reference(system)
    for net in system.nets.values():
        net.to(memory_format=system.layout(torch.device("cpu")))
    return system, reference


def rows(folder, rounds):
    """The lines of the table."""
    yield compare("at paper size", rounds)


def compare(what, rounds, **settings):
    """The Row of a system with these settings in place of the paper's."""
    system, reference = build(**settings)
    batch = batch_of(4, system.config.size, len(AUS))
    as_trained = dataclasses.replace(
        batch, x_real=batch.x_real.contiguous(memory_format=torch.channels_last)
    )  # as lib.device_data lays images
    worst = largest_difference(system, reference, batch, 1)
    if worst > SAME:
        raise AssertionError(f"losses of the first step differ by {worst:.0e}, allowed {SAME:.0e}")
    largest_difference(system, reference, batch, 4)  # a round that does not count
    seconds = interleaved(
        {
            "ours": lambda: [system.step(as_trained, step) for step in range(4)],
            "reference": lambda: [reference.step(batch, step) for step in range(4)],
        },
        rounds,
        clock=time.process_time,
        first=1,
    )
    median = {name: np.median(values) for name, values in seconds.items()}
    return Row(
        f"Expression Manipulator, 4 D + 1 G {what}, batch 4 ({rounds} rounds, "
        f"{torch.get_num_threads()} threads)",
        f"{median['ours']:.1f} s of processor a cycle; losses of the first step within {worst:.0e} "
        "of the other's",
        f"eager float32, the public code's order: {median['reference']:.1f} s",
        speedup(seconds["reference"], seconds["ours"]),
        "1.3; not slower",
    )
