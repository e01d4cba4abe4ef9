"""What happens to images on their way into a batch: augmentation that chance has drawn before, and normalising."""

from dataclasses import dataclass

import torch
from torch import Tensor

# Random erasing's ranges: the box's share of the image, and how much taller than wide it may be times how much wider.
ERASED_AREA = (0.02, 0.33)
ERASED_ASPECT = 3.0


@dataclass(frozen=True)
class Normalise:
    """uint8 images to floats: divide by 255, subtract ``mean``, divide by ``std`` (per channel)."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __str__(self) -> str:
        """For messages."""
        return " and ".join(
            f"{name} {', '.join(f'{value:g}' for value in values)}"
            for name, values in (("mean", self.mean), ("std", self.std))
        )

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 or float (N, C, H, W) in 0..255 to float32, normalised, contiguous."""
        shape = (1, -1, 1, 1)
        mean = torch.tensor(self.mean).view(shape).to(images.device, non_blocking=True)
        scale = torch.tensor(self.std).view(shape).to(images.device, non_blocking=True)
        return (images.to(torch.float32) / 255 - mean) / scale

    def again(self, images: Tensor, before: "Normalise") -> Tensor:
        """Images (N, C, H, W) that ``before`` has normalised, as this one would have."""

        def per_channel(values: list[float]) -> Tensor:
            return images.new_tensor(values).view(1, -1, 1, 1)

        scale = [old / new for old, new in zip(before.std, self.std, strict=True)]
        shift = [(old - new) / by for old, new, by in zip(before.mean, self.mean, self.std, strict=True)]
        return images * per_channel(scale) + per_channel(shift)


@dataclass(frozen=True)
class Views:
    """What chance has drawn for each sample's augmentation.

    Args:
        shift: int64 (N, 2), rows and columns, each in 0..2*crop; crop means no shift.
        mirror: bool (N,).
        erase: float (N, 5) in 0..1: whether, area, aspect, top, left; read by ``Augment``.
    """

    shift: Tensor
    mirror: Tensor
    erase: Tensor

    def of(self, indices: Tensor) -> "Views":
        """The draws of some samples."""
        return Views(self.shift[indices], self.mirror[indices], self.erase[indices])

    def to(self, device: torch.device) -> "Views":
        """The same draws on another device."""
        return Views(self.shift.to(device), self.mirror.to(device), self.erase.to(device))


@dataclass(frozen=True)
class Augment:
    """Image augmentation: shift by up to ``crop`` pixels (zero padding), mirror half, erase a box of some.

    Random erasing (Zhong et al. 2017, https://arxiv.org/abs/1708.04896) sets a box of 2 % to 33 % of the image,
    with sides 1:3 to 3:1, to zero; here with probability ``erase``.
    """

    crop: int = 0
    flip: bool = False
    erase: float = 0.0

    def draw(self, count: int, chance: torch.Generator) -> Views:
        """The draws for so many samples."""
        shift = torch.randint(0, 2 * self.crop + 1, (count, 2), generator=chance)
        mirror = torch.rand(count, generator=chance) < 0.5
        return Views(shift, mirror, torch.rand((count, 5), generator=chance))

    def __call__(self, images: Tensor, views: Views) -> Tensor:
        """Augment (N, C, H, W), where images and draws are."""
        count, _, height, width = images.shape
        here = images.device
        padded = torch.nn.functional.pad(images, (self.crop,) * 4)
        rows = views.shift[:, :1] + torch.arange(height, device=here)
        columns = views.shift[:, 1:] + torch.arange(width, device=here)
        if self.flip:
            columns = torch.where(views.mirror[:, None], columns.flip(1), columns)
        sample = torch.arange(count, device=here)[:, None, None]
        moved = padded[sample, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
        return moved.masked_fill_(self._boxes(views.erase, height, width), 0) if self.erase else moved

    def _boxes(self, drawn: Tensor, height: int, width: int) -> Tensor:
        """Which pixels are erased, bool (N, 1, H, W): true in the boxes."""
        chosen, area, aspect, top, left = drawn.unsqueeze(2).unbind(1)
        side = torch.sqrt(ERASED_AREA[0] + (ERASED_AREA[1] - ERASED_AREA[0]) * area)
        stretch = ERASED_ASPECT ** (aspect - 0.5)
        tall, wide = (side * stretch * height).clamp(max=height), (side / stretch * width).clamp(max=width)
        first_row, first_column = top * (height - tall), left * (width - wide)
        rows = torch.arange(height, device=drawn.device) + 0.5
        columns = torch.arange(width, device=drawn.device) + 0.5
        inside_rows = (rows >= first_row) & (rows < first_row + tall)
        inside_columns = (columns >= first_column) & (columns < first_column + wide) & (chosen < self.erase)
        return (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]
