"""Several processes, as torchrun starts them: who we are, sums over all, and batch statistics over all."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as dist_functional
from timm.layers import BatchNormAct2d, convert_sync_batchnorm
from torch import Tensor, nn

from seg.errors import SegError

CPU = torch.device("cpu")


@dataclass(frozen=True)
class World:
    """This process's place: `rank` of `size`, `local` its number on this machine, `device` where it computes."""

    rank: int = 0
    size: int = 1
    local: int = 0
    device: torch.device = CPU

    @property
    def is_main(self) -> bool:
        """Whether this process writes the run directory."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of `tensor` over all processes, in place."""
        return self._reduce(tensor, dist.ReduceOp.SUM)

    def max(self, tensor: Tensor) -> Tensor:
        """The maximum of `tensor` over all processes, in place."""
        return self._reduce(tensor, dist.ReduceOp.MAX)

    def _reduce(self, tensor: Tensor, operation: dist.ReduceOp) -> Tensor:
        if self.size > 1:
            moved = tensor.to(self.device)  # NCCL reduces on the GPU only
            dist.all_reduce(moved, operation)
            tensor.copy_(moved)
        return tensor

    def differentiable_sum(self, tensor: Tensor) -> Tensor:
        """The sum of `tensor` over all processes, through which gradients flow back to each of them."""
        return dist_functional.all_reduce(tensor) if self.size > 1 else tensor  # type: ignore[no-any-return]

    def main_does(self, work: Callable[[], object]) -> None:
        """Let the main process do `work` while the others wait; where it fails of a mistake, all of them end.

        Raises:
            Exception: in the main process, what `work` raises; in the others a SegError.
        """
        failed = torch.zeros(1)
        try:
            if self.is_main:
                work()
        except Exception:
            self.max(failed.fill_(1))
            raise
        if self.max(failed):
            raise SegError("the main process could not go on; it says why")

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            dist.barrier()


def join(device: torch.device) -> World:
    """Join the processes that torchrun started; alone where it did not."""
    if "RANK" not in os.environ:
        return World(device=device)
    # the restart count in the keys: after a killed rank the store still holds those of the round before,
    # and the new round would wait for processes that are gone
    store, rank, size = next(dist.rendezvous("env://"))
    store = dist.PrefixStore(f"restart{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    local = int(os.environ.get("LOCAL_RANK", "0"))
    return World(rank, size, local, torch.device(device.type, local) if device.type == "cuda" else device)


def leave(world: World) -> None:
    """Leave the group, if there is one."""
    if world.size > 1 and dist.is_initialized():
        dist.destroy_process_group()


def synchronize_statistics(network: nn.Module, device: torch.device) -> nn.Module:
    """Batch normalisation over the batches of all processes, so that n processes train as one with n times the batch."""
    if device.type != "cpu":
        return convert_sync_batchnorm(network)  # type: ignore[no-any-return]
    for name, child in network.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(network, name, _SyncNorm(child))
        else:
            synchronize_statistics(child, device)
    return network


class _SyncNorm(nn.BatchNorm2d):
    """torch's SyncBatchNorm has no CPU kernel; this one is made of differentiable sums, with the same tensors inside."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        # timm's norms carry their activation
        self.act: nn.Module = nn.Sequential(norm.drop, norm.act) if isinstance(norm, BatchNormAct2d) else nn.Identity()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        if not self.training:
            return self.act(super().forward(x_BCHW))  # type: ignore[no-any-return]
        wide_BCHW = x_BCHW.float()
        count = x_BCHW.numel() / x_BCHW.shape[1]
        sums_3C = torch.stack(
            [wide_BCHW.sum((0, 2, 3)), wide_BCHW.square().sum((0, 2, 3)), torch.full_like(self.weight, count)]
        )
        sum_C, square_C, count_C = dist_functional.all_reduce(sums_3C)
        mean_C = sum_C / count_C
        variance_C = (square_C / count_C - mean_C.square()).clamp_min(0)
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.momentum is not None
            unbiased_C = variance_C * count_C / (count_C - 1)
            self.running_mean.lerp_(mean_C, self.momentum)
            self.running_var.lerp_(unbiased_C, self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scale_C = self.weight * torch.rsqrt(variance_C + self.eps)
        shift_C = self.bias - mean_C * scale_C
        return self.act((wide_BCHW * scale_C[:, None, None] + shift_C[:, None, None]).to(x_BCHW.dtype))  # type: ignore[no-any-return]
