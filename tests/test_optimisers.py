"""Fused optimisers compute what the plain ones do, and take over what a checkpoint holds."""

import pytest
import torch

from lib.generators.contract import adam
from lib.training import restore_optimiser

LAST = torch.channels_last


def stepped(optimiser, weight, seeds):
    """The weight [4,3,3,3] after a step for each seed's random gradient."""
    for seed in seeds:
        draw = torch.Generator().manual_seed(seed)
        weight.grad = torch.empty_like(weight).copy_(torch.randn(4, 3, 3, 3, generator=draw))
        optimiser.step()
    return weight.detach().clone()


def build(fused, layout=torch.contiguous_format):
    """(optimiser, its weight [4,3,3,3])."""
    values = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    weight = torch.nn.Parameter(values.contiguous(memory_format=layout))
    plain = torch.optim.Adam([weight], 1e-2, (0.5, 0.999))
    return (adam([weight], 1e-2) if fused else plain), weight


@pytest.mark.parametrize("layout", [torch.contiguous_format, LAST])
def test_fused_adam_is_adam(layout):
    fused, plain = (stepped(*build(fused, layout), range(5)) for fused in (True, False))
    assert torch.allclose(fused, plain, rtol=0, atol=1e-6)


@pytest.mark.parametrize("before, after", [(LAST, torch.contiguous_format),
                                           (torch.contiguous_format, LAST)])
@pytest.mark.parametrize("fused", [True, False])
def test_a_state_of_another_layout_or_version_goes_on(before, after, fused):
    """A training that began on a GPU (channels last), or with a version whose Adam was not fused,
    goes on as one that nothing cut: fused kernels pair numbers by their place in memory."""
    whole = stepped(*build(False), range(6))
    first, weight = build(fused, before)
    at = stepped(first, weight, range(3))
    second, weight = build(True, after)
    weight.data.copy_(at)
    restore_optimiser(second, first.state_dict())
    state = second.state[weight]
    assert state["exp_avg"].stride() == state["exp_avg_sq"].stride() == weight.stride()
    assert second.param_groups[0]["fused"] is True
    assert torch.allclose(stepped(second, weight, range(3, 6)), whole, rtol=0, atol=1e-6)


def test_rates_of_a_checkpoint_are_taken_over():
    first, weight = build(True)
    first.param_groups[0]["lr"] = 0.25
    stepped(first, weight, range(2))
    second, weight = build(True)
    restore_optimiser(second, first.state_dict())
    assert second.param_groups[0]["lr"] == 0.25 and second.state[weight]["step"].item() == 2
