"""What an autoencoder's code holds of its pixels: the PCA subspace, more than that, or all of them.

The networks are small and fully connected, because the claims are about codes of any network. Shape suffixes: N patches,
D numbers of a patch, K of a code.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from bench.patches_data import Finding, Patches, centre, labelled

SIDE = 8
CODE = 16
"""8x8 pixels of 3 colours are 192 numbers; a code of 16 is a twelfth of them."""

LINEAR_PATCHES = 2000
LINEAR_EVALUATIONS = 2500
WIDTH = 256
BATCH = 256
NONLINEAR_STEPS = 8000
COPYING_STEPS = 6000


def pca(patches: Patches) -> Finding:
    """A linear undercomplete autoencoder with squared error spans the principal subspace (Baldi and Hornik, 1989)."""
    pixels_ND = centre(patches.train_N3SS, SIDE, torch.float64)
    pixels_ND = pixels_ND[:: math.ceil(len(pixels_ND) / LINEAR_PATCHES)]
    decoder_DK, error = linear_autoencoder(pixels_ND, CODE, LINEAR_EVALUATIONS)
    judge = PCA(CODE).fit(pixels_ND)
    angle = largest_angle(decoder_DK, judge)
    best = pca_error(judge, pixels_ND)
    rows = [["PCA", best, 0.0], ["linear autoencoder", error, angle]]
    figure = f"{angle:.2f} degrees, error {100 * (error / best - 1):+.3f} %"
    met = angle < 5 and error < 1.01 * best
    columns = ["", "squared error", "largest principal angle to PCA, degrees"]
    return Finding("linear, undercomplete: the PCA subspace", figure, "< 5 degrees, within 1 %", met, columns, rows)


def linear_autoencoder(pixels_ND: Tensor, code: int, evaluations: int) -> tuple[npt.NDArray[np.float64], float]:
    """Train one from random weights on all patches at once, to convergence.

    It begins as the projection onto a random subspace. Its loss has saddle points but no local minimum that is not global
    (Baldi and Hornik, 1989); the patches' variances differ a thousandfold between directions, which is too much for plain
    gradient descent.

    Args:
        pixels_ND: float64; their mean is taken out, which is what biases would learn.
        code: K.
        evaluations: of the loss, at most.

    Returns:
        The decoder's matrix, (D, K), and the mean squared error.
    """
    torch.manual_seed(0)
    centred_ND = pixels_ND - pixels_ND.mean(0)
    width = centred_ND.shape[1]
    network = nn.Sequential(nn.Linear(width, code, bias=False), nn.Linear(code, width, bias=False)).double()
    nn.init.orthogonal_(network[0].weight)
    network[1].weight.data.copy_(network[0].weight.T)
    optimizer = torch.optim.LBFGS(
        network.parameters(),
        max_iter=evaluations,
        max_eval=evaluations,
        history_size=30,
        tolerance_grad=1e-12,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        error = F.mse_loss(network(centred_ND), centred_ND)
        error.backward()
        return error

    optimizer.step(loss)
    return network[1].weight.detach().numpy(), float(loss().detach())


def largest_angle(decoder_DK: npt.NDArray[np.float64], judge: PCA) -> float:
    """The largest principal angle between what a decoder spans and PCA's subspace, in degrees."""
    return math.degrees(subspace_angles(decoder_DK, judge.components_.T).max())


def pca_error(judge: PCA, pixels_ND: Tensor) -> float:
    """The mean squared error of patches that went through PCA's code."""
    back_ND = judge.inverse_transform(judge.transform(pixels_ND))
    return float(np.square(back_ND - pixels_ND.numpy()).mean())


class Nonlinear(nn.Module):
    """PCA's encoder and decoder, and beside each a network that adds to what it answers, at first nothing.

    So training starts at PCA's error: what it gains from there is what being nonlinear is worth.

    Args:
        judge: fitted; its code's size is the network's.
    """

    mean_D: Tensor
    scale_K: Tensor

    def __init__(self, judge: PCA) -> None:
        super().__init__()
        code, width = judge.components_.shape
        self.register_buffer("mean_D", torch.tensor(judge.mean_).float())
        self.register_buffer("scale_K", torch.tensor(judge.explained_variance_).sqrt().float())
        self.axes_KD = nn.Parameter(torch.tensor(judge.components_).float())
        self.back_DK = nn.Parameter(self.axes_KD.detach().T.clone())
        self.encoder = nn.Sequential(nn.Linear(width, WIDTH), nn.GELU(), nn.Linear(WIDTH, code))
        self.decoder = nn.Sequential(
            nn.Linear(code, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, width)
        )
        for last in (self.encoder[-1], self.decoder[-1]):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, pixels_ND: Tensor) -> Tensor:
        """The patches, (N, D), from a code of K numbers each."""
        centred_ND = pixels_ND - self.mean_D
        code_NK = centred_ND @ self.axes_KD.T / self.scale_K + self.encoder(4 * centred_ND)
        made_ND: Tensor = self.mean_D + (code_NK * self.scale_K) @ self.back_DK.T + 0.1 * self.decoder(code_NK)
        return made_ND


def nonlinear(patches: Patches) -> Finding:
    """A nonlinear autoencoder of the same code size beats PCA on frames that neither has seen."""
    train_ND, held_ND = centre(patches.train_N3SS, SIDE), centre(patches.held_N3SS, SIDE)
    judge = PCA(CODE).fit(train_ND)
    network = Nonlinear(judge)
    fit(network, patches.train_N3SS, NONLINEAR_STEPS)
    rows = []
    for name, numbers_ND in (("train", train_ND), ("held out", held_ND)):
        with torch.inference_mode():
            error = float(F.mse_loss(network(numbers_ND), numbers_ND))
        linear = pca_error(judge, numbers_ND)
        rows.append([name, linear, error, error / linear])
    ratio = float(rows[1][-1])
    columns = ["patches", "PCA's squared error", "nonlinear", "ratio"]
    return Finding("nonlinear, same code: beats PCA", f"ratio {ratio:.3f}", "< 1", ratio < 1, columns, rows)


def fit(network: nn.Module, patches_N3SS: Tensor, steps: int, rate: float = 2e-3) -> None:
    """Train on squared error, at a rate that rises and falls in one cycle.

    A step sees BATCH patches, of each the same SIDE x SIDE window, mirrored or not: what is learned by heart of 22,020
    windows does not help on others.
    """
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, max(2, steps))
    for _ in range(steps):
        batch_B3SS = patches_N3SS[torch.randint(len(patches_N3SS), (BATCH,))]
        row, column, mirrored = (int(torch.randint(end, ())) for end in (*[batch_B3SS.shape[-1] - SIDE + 1] * 2, 2))
        batch_B3SS = batch_B3SS[..., row : row + SIDE, column : column + SIDE]
        pixels_ND = centre(batch_B3SS.flip(-1) if mirrored else batch_B3SS, SIDE)
        optimizer.zero_grad()
        F.mse_loss(network(pixels_ND), pixels_ND).backward()
        optimizer.step()
        schedule.step()


class Overcomplete(nn.Module):
    """One hidden layer that is twice as wide as the patch, with nothing asked of it.

    Args:
        train_ND: patches, whose mean and scale the input is brought to.
        relu: whether the code is cut off below zero.
    """

    def __init__(self, train_ND: Tensor, *, relu: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        width = train_ND.shape[1]
        self.mean_D, self.scale = train_ND.mean(0), train_ND.std()
        self.encoder = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU() if relu else nn.Identity())
        self.decoder = nn.Linear(2 * width, width)

    def encode(self, pixels_ND: Tensor) -> Tensor:
        """The code, (N, 2 D)."""
        code_NK: Tensor = self.encoder((pixels_ND - self.mean_D) / self.scale)
        return code_NK

    def forward(self, pixels_ND: Tensor) -> Tensor:
        """The patches again, (N, D)."""
        made_ND: Tensor = self.decoder(self.encode(pixels_ND)) * self.scale + self.mean_D
        return made_ND


def copy(patches: Patches) -> Finding:
    """Overcomplete and unrestrained it copies: the code tells a linear probe no more about classes than pixels do.

    A layer of random weights with a ReLU already tells a linear probe more than pixels do, so the code with a ReLU is
    compared with that of the untrained network.
    """
    train_ND, held_ND = centre(patches.train_N3SS, SIDE), centre(patches.held_N3SS, SIDE)

    def accuracy(code_of: nn.Module | None) -> float:
        with torch.inference_mode():
            codes = [numbers if code_of is None else code_of.encode(numbers) for numbers in (train_ND, held_ND)]
        return probe(labelled(codes[0], patches.train_class_N), labelled(codes[1], patches.held_class_N))

    pixels = accuracy(None)
    rows: list[list[str | float]] = [["pixels", "", pixels, ""]]
    decibels, gains = [], []
    for name, relu in (("linear", False), ("ReLU", True)):
        network = Overcomplete(train_ND, relu=relu)
        untrained = accuracy(network)
        fit(network, patches.train_N3SS, COPYING_STEPS)
        with torch.inference_mode():
            decibels.append(-10 * math.log10(float(F.mse_loss(network(held_ND), held_ND))))
        trained = accuracy(network)
        gains.append(trained - (untrained if relu else pixels))
        rows.append([f"{name} code", decibels[-1], trained, untrained])
    met = min(decibels) > 40 and max(gains) < 1
    figure = (
        f"{min(decibels):.1f} dB; probe {gains[0]:+.1f} points over pixels (linear), "
        f"{gains[1]:+.1f} over the untrained network (ReLU)"
    )
    columns = ["probed", "PSNR, dB", "accuracy, %", "accuracy before training, %"]
    return Finding("overcomplete, unrestrained: copies", figure, "> 40 dB, gain < 1 point", met, columns, rows)


def probe(train: tuple[Tensor, Tensor], held: tuple[Tensor, Tensor]) -> float:
    """The accuracy in percent of logistic regression from codes to classes, on held-out codes.

    Args:
        train: codes (N, K) and classes (N,).
        held: the same, held out.
    """
    judge = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000, tol=1e-3))
    judge.fit(*(tensor.numpy() for tensor in train))
    return 100 * float(judge.score(*(tensor.numpy() for tensor in held)))
