"""The task of `seg pretrain`: the frame itself, from its code, from frames that may be corrupted; no labels are read."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from seg.config import CorruptionConfig, PretrainConfig
from seg.draw import grid, label
from seg.geometry import fit_frame
from seg.model.autoencoder import Autoencoder
from train.batches import Batch, samples
from train.corrupt import corrupt
from train.likeness import ReconstructionLoss, psnr, ssim
from train.penalties import contractive_penalty, drop_channels, kl_penalty, l1_penalty
from train.precision import autocast
from train.report import number_table
from train.segmentation import SHOWN, shrink
from train.task import U8, Outcome, Part, Setting, Task, Watch

ZERO = 1e-3
"""A code value nearer to 0 than this counts as zero."""

FIGURES = {
    "psnr": "PSNR of the frame decoded from its own code, dB",
    "ssim": "its structural similarity",
    "psnr_restored": "PSNR of the frame decoded from the code of its corrupted copy, dB",
    "psnr_corrupted": "PSNR of the corrupted copy itself, dB",
    "activity": "mean of the code",
    "zeros": f"share of the code within {ZERO:g} of 0",
}


class ReconstructionTask(Task):
    """Reconstruction, with the penalties on the code that are configured.

    Args:
        network: to train.
        config: the run.
        setting: where it works.
    """

    score_name = "PSNR"
    network: Autoencoder

    def __init__(self, network: Autoencoder, config: PretrainConfig, setting: Setting) -> None:
        super().__init__(network, setting)
        self.config = config
        self.loss = ReconstructionLoss(config.loss)

    def speed_up(self) -> None:
        """Its two halves: the task calls them itself, and not the network as a whole."""
        self.network.encoder.compile()
        assert self.network.reconstruction is not None
        self.network.reconstruction.compile()

    def parts(self, batch: Batch, count: int) -> list[Part]:
        """Corrupted frames, the frames, both uint8, and the part's share of the whole batch."""
        rgb_B3HW = batch.rgb_B3HW.to(self.setting.device, non_blocking=True)
        generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        corrupted_B3HW, _ = corrupt(rgb_B3HW, self.config.corruption, generator)
        share = torch.tensor(1 / (count * self.setting.world.size), device=self.setting.device)
        chunks = zip(corrupted_B3HW.chunk(count), rgb_B3HW.chunk(count), strict=True)
        return [(corrupted, rgb, share) for corrupted, rgb in chunks]

    def forward(self, *part: Tensor) -> Tensor:
        """The reconstruction's loss and the penalties. That on activity (KL) sees the mean over this part alone."""
        corrupted_B3HW, rgb_B3HW, share = part
        penalty = self.config.penalty
        with autocast(self.config, self.setting.device):
            code_BKHW = self.network.encode(corrupted_B3HW)
            kept_BKHW = drop_channels(code_BKHW, penalty.dropout) if penalty.dropout else code_BKHW
            frame_B3HW = self.network.reconstruct(kept_BKHW, rgb_B3HW.shape[-2:])
        loss: Tensor = self.loss(frame_B3HW, rgb_B3HW)
        if penalty.l1:
            loss = loss + penalty.l1 * l1_penalty(code_BKHW.float())
        if penalty.kl:
            loss = loss + penalty.kl * kl_penalty(code_BKHW.float(), penalty.rho)
        if penalty.contractive:
            loss = loss + penalty.contractive * self._contraction(corrupted_B3HW)
        return share * loss

    def _contraction(self, rgb_B3HW: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))

        def encode(unit_B3HW: Tensor) -> Tensor:
            return self.network.encode(unit_B3HW * 255.0)

        return contractive_penalty(encode, rgb_B3HW.float() / 255.0, self.config.penalty.projections, generator)

    def validate(self, network: nn.Module, watch: Watch) -> Outcome:
        """Means over all frames; corruption number i is the same in every validation."""
        assert isinstance(network, Autoencoder)
        sums = torch.zeros(len(FIGURES) + 1, dtype=torch.float64)
        for figures in watch(self._measured(network)):
            sums += torch.tensor([*figures, 1.0], dtype=torch.float64)
        *totals, count = self.setting.world.sum(sums).tolist()
        means = {name: total / max(1.0, count) for name, total in zip(FIGURES, totals, strict=True)}
        corrupted = self.config.corruption != CorruptionConfig()
        if not corrupted:  # nothing was restored
            means = {name: value for name, value in means.items() if name not in ("psnr_restored", "psnr_corrupted")}
        score = means["psnr_restored" if corrupted else "psnr"]
        over = f", restored {score:.2f} dB from {means['psnr_corrupted']:.2f}" if corrupted else ""
        table = number_table({FIGURES[name]: value for name, value in means.items()})
        return Outcome(
            score=score,
            figures=means,
            line=f"PSNR {means['psnr']:.2f} dB{over}",
            sections={"Validation": table},
            meta={"figures": means},
        )

    def _measured(self, network: Autoencoder) -> Iterator[list[float]]:
        indices = range(self.setting.world.rank, len(self.setting.val), self.setting.world.size)
        for index, sample in zip(indices, samples(self.setting.val, indices, self.config.workers), strict=True):
            rgb_13HW, corrupted_13HW = self._pair(sample.frame_HWC, index)
            code_1KHW, frame_13HW = self._answer(network, rgb_13HW)
            restored_13HW = self._answer(network, corrupted_13HW)[1]
            yield [
                float(value)
                for value in (
                    psnr(frame_13HW, rgb_13HW.float()),
                    ssim(frame_13HW / 255.0, rgb_13HW.float() / 255.0),
                    psnr(restored_13HW, rgb_13HW.float()),
                    psnr(corrupted_13HW.float(), rgb_13HW.float()),
                    code_1KHW.mean(),
                    (code_1KHW.abs() < ZERO).float().mean(),
                )
            ]

    def _pair(self, rgb_HWC: U8, index: int) -> tuple[Tensor, Tensor]:
        fitted = fit_frame(rgb_HWC, self.setting.size)
        rgb_13HW = torch.tensor(fitted, device=self.setting.device).permute(2, 0, 1)[None]
        return rgb_13HW, corrupt(rgb_13HW, self.config.corruption, torch.Generator().manual_seed(index))[0]

    @torch.inference_mode()
    def _answer(self, network: Autoencoder, rgb_13HW: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(self.config, self.setting.device):
            code_1KHW, frame_13HW = network(rgb_13HW)
        return code_1KHW.float(), frame_13HW.float().clamp(0, 255)

    def pictures(self, network: nn.Module) -> U8:
        """Frame, corrupted frame and what is made of that, a row a frame."""
        assert isinstance(network, Autoencoder)
        tiles = []
        for index in self.setting.val.spread(SHOWN):
            rgb_HWC = fit_frame(self.setting.val.frame(index), self.setting.size)
            corrupted_13HW = self._pair(rgb_HWC, index)[1]
            made_13HW = self._answer(network, corrupted_13HW)[1]
            corrupted, made = (
                tensor[0].permute(1, 2, 0).round().byte().cpu().numpy()
                for tensor in (corrupted_13HW.float(), made_13HW)
            )
            row = [label(rgb_HWC, self.setting.val.name(index)[:40]), label(corrupted, "input"), label(made, "output")]
            tiles += [shrink(picture, 480) for picture in row]
        return grid(tiles, 3)
