"""NCFM in float64, one class at a time, written from the documentation's formulas and not from the package's code.

Nothing here calls the package: resizing, sampling, instance norm and characteristic functions are written out, the
latter with complex numbers and angles. Legend: N images, c channels, (H, W) resolution, D features, F frequencies.
"""

from dataclasses import dataclass

import torch

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class SideDraw:
    """Augmentation of one class on one side: affine (N, 2, 3) output to input, colour (N, 3), cutout (N, 4)."""

    affine: torch.Tensor
    colour: torch.Tensor | None
    cutout: torch.Tensor | None


@dataclass(frozen=True)
class ClassDraw:
    """What one class sees in one step. real: uint8 (N, c, H, W)."""

    real: torch.Tensor
    real_side: SideDraw
    synthetic_side: SideDraw


def characteristic(features: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Phi(t) as complex numbers: features (N, D), t (F, D) -> (F,)."""
    return torch.stack([torch.exp(1j * (features @ one)).mean() for one in t])


def chf(real: torch.Tensor, synthetic: torch.Tensor, alpha: float) -> torch.Tensor:
    """alpha (|Phi_r| - |Phi_s|)^2 + (1 - alpha) 2 |Phi_r| |Phi_s| (1 - cos(a_r - a_s)); complex (F,) -> real (F,)."""
    amplitude = (real.abs() - synthetic.abs()) ** 2
    phase = 2 * real.abs() * synthetic.abs() * (1 - torch.cos(real.angle() - synthetic.angle()))
    return alpha * amplitude + (1 - alpha) * phase


def ncfd(real: torch.Tensor, synthetic: torch.Tensor, t: torch.Tensor, alpha: float) -> torch.Tensor:
    """NCFD of real (N, D) and synthetic (M, D) features."""
    return chf(characteristic(real, t), characteristic(synthetic, t), alpha).sqrt().mean()


def resize_matrix(wanted: int, given: int) -> torch.Tensor:
    """(wanted, given): bilinear interpolation along one axis, pixel centres at half integers, edges repeated."""
    matrix = torch.zeros(wanted, given, dtype=torch.float64)
    for row in range(wanted):
        place = min(max((row + 0.5) * given / wanted - 0.5, 0.0), given - 1.0)
        low = int(place)
        high = min(low + 1, given - 1)
        matrix[row, low] += 1 - (place - low)
        matrix[row, high] += place - low
    return matrix


def decode(stored: torch.Tensor, factor: int) -> torch.Tensor:
    """Tiles of every stored image, row by row, each resized to full size: (S, c, H, W) -> (S factor^2, c, H, W)."""
    height, width = stored.shape[-2:]
    high, wide = height // factor, width // factor
    decoded = []
    for image in stored:
        for row in range(factor):
            for column in range(factor):
                tile = image[:, row * high : (row + 1) * high, column * wide : (column + 1) * wide]
                decoded.append(resize_matrix(height, high) @ tile @ resize_matrix(width, wide).T)
    return torch.stack(decoded)


def sample(image: torch.Tensor, affine: torch.Tensor) -> torch.Tensor:
    """image (c, H, W) seen through an output-to-input map (2, 3) of [-1, 1] coordinates; zero outside the frame."""
    height, width = image.shape[-2:]
    across = (2 * torch.arange(width, dtype=torch.float64) + 1) / width - 1
    down = (2 * torch.arange(height, dtype=torch.float64) + 1) / height - 1
    x = affine[0, 0] * across[None, :] + affine[0, 1] * down[:, None] + affine[0, 2]
    y = affine[1, 0] * across[None, :] + affine[1, 1] * down[:, None] + affine[1, 2]
    column, row = ((x + 1) * width - 1) / 2, ((y + 1) * height - 1) / 2
    found = torch.zeros_like(image)
    for down_by in (0, 1):
        for across_by in (0, 1):
            r, c = row.floor() + down_by, column.floor() + across_by
            weight = (1 - (row - r).abs()) * (1 - (column - c).abs())
            inside = (r >= 0) & (r < height) & (c >= 0) & (c < width)
            values = image[:, r.clamp(0, height - 1).long(), c.clamp(0, width - 1).long()]
            found = found + values * (weight * inside)
    return found


def augment(images: torch.Tensor, draw: SideDraw) -> torch.Tensor:
    """Brightness, saturation, contrast, geometry, cutout, image after image; images (N, c, H, W) normalised."""
    augmented = []
    for number, image in enumerate(images):
        if draw.colour is not None:
            brightness, saturation, contrast = draw.colour[number].double()
            image = image + brightness
            grey = image.mean(0)
            image = grey + saturation * (image - grey)
            image = image.mean() + contrast * (image - image.mean())
        image = sample(image, draw.affine[number].double())
        if draw.cutout is not None:
            top, bottom, left, right = draw.cutout[number].tolist()
            mask = torch.ones_like(image)
            mask[:, top:bottom, left:right] = 0
            image = image * mask
        augmented.append(image)
    return torch.stack(augmented)


def convnet(weights: Weights, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """ConvNet-d under a state dict: x (N, c, H, W) -> features (N, D), logits (N, C). Instance norm's eps is 1e-5."""
    depth = sum(name.endswith("weight") and tensor.ndim == 4 for name, tensor in weights.items())
    w = {name: tensor.double() for name, tensor in weights.items()}
    for block in range(depth):
        x = torch.nn.functional.conv2d(x, w[f"blocks.{4 * block}.weight"], w[f"blocks.{4 * block}.bias"], padding=1)
        mean = x.mean((2, 3), keepdim=True)
        variance = ((x - mean) ** 2).mean((2, 3), keepdim=True)
        x = (x - mean) / (variance + 1e-5).sqrt()
        x = x * w[f"blocks.{4 * block + 1}.weight"][:, None, None] + w[f"blocks.{4 * block + 1}.bias"][:, None, None]
        x = x.clamp_min(0)
        x = x[:, :, : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2]  # pooling leaves out an odd last row and column
        x = (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4
    features = x.flatten(1)
    return features, features @ w["head.weight"].T + w["head.bias"]


def unit_length(features: torch.Tensor) -> torch.Tensor:
    """Rows (N, D) divided by their Euclidean lengths."""
    return features / (features**2).sum(1, keepdim=True).sqrt()


def step(
    stored: list[torch.Tensor],
    draws: list[ClassDraw],
    t: torch.Tensor,
    hybrid: Weights,
    trained: Weights,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    *,
    alpha: float,
    calibration: float,
    factor: int,
    classes: int | None = None,
    normalize_features: bool = True,
    class_numbers: list[int] | None = None,
) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
    """NCFD and cross-entropy of every class, and the objective sum over classes of (300 NCFD + w CE) / C.

    stored: per class (n, c, H, W) float64, may require gradients; t (F, D) float64, may require gradients
    class_numbers: labels of the classes, 0, 1, ... unless given
    """
    centre, deviation = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (mean, std))
    scale = unit_length if normalize_features else lambda z: z
    distances: list[torch.Tensor] = []
    entropies: list[torch.Tensor] = []
    for images, draw in zip(stored, draws, strict=True):
        with torch.no_grad():
            real = (draw.real.double() / 255 - centre) / deviation
            real_features = scale(convnet(hybrid, augment(real, draw.real_side))[0])
        synthetic = augment((decode(images, factor) - centre) / deviation, draw.synthetic_side)
        synthetic_features = scale(convnet(hybrid, synthetic)[0])
        distances.append(ncfd(real_features, synthetic_features, t, alpha))
        label = class_numbers[len(entropies)] if class_numbers else len(entropies)
        logits = convnet(trained, synthetic)[1]
        entropies.append(-torch.log(torch.exp(logits[:, label]) / torch.exp(logits).sum(1)).mean())
    count = len(stored) if classes is None else classes
    parts = [300 * d + calibration * e for d, e in zip(distances, entropies, strict=True)]
    return distances, entropies, sum(parts, torch.zeros((), dtype=torch.float64)) / count


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    """Cosine of the angle between two tensors of equal shape, in float64."""
    a, b = a.double().flatten(), b.double().flatten()
    return float(a @ b / (a.norm() * b.norm()))
