"""Train a small network on scikit-learn's digits in plain PyTorch, then compress it."""

import argparse
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import compressor


class Digits(nn.Module):
    """A small convolutional network; nothing in it knows about compression."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1, stride=2, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
        )
        self.classifier = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, (N, 10)."""
        logits: Tensor = self.classifier(self.features(images).flatten(1))
        return logits


def loaders() -> tuple[DataLoader[tuple[Tensor, ...]], ...]:
    """Train, validation and test: batches of (image, label), scaled to about zero mean and unit variance."""
    pixels, labels = load_digits(return_X_y=True)
    images = torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 8, 8).div(16).sub(0.3).div(0.38)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    images, targets = images[order], torch.tensor(labels)[order]
    return tuple(
        DataLoader(TensorDataset(images[start:end], targets[start:end]), batch_size=64, shuffle=start == 0)
        for start, end in ((0, 1200), (1200, 1437), (1437, 1797))
    )


def smoothed(outputs: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy with label smoothing: any loss of outputs and labels will do."""
    return nn.functional.cross_entropy(outputs, labels, label_smoothing=0.05)


def train(module: nn.Module, batches: DataLoader[tuple[Tensor, ...]], epochs: int) -> None:
    """The plainest loop there is."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    for _ in range(epochs):
        for images, labels in batches:
            optimizer.zero_grad()
            smoothed(module(images), labels).backward()
            optimizer.step()
    module.eval()


def main() -> None:
    """Train, compress, print a line per stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/python-api"))
    parser.add_argument("--quick", action="store_true", help="little data and few epochs")
    arguments = parser.parse_args()

    torch.manual_seed(0)
    module = Digits()
    train(module, loaders()[0], epochs=2 if arguments.quick else 15)

    report = compressor.run(module, loaders, "mobile-cpu", loss=smoothed, out=arguments.out, quick=arguments.quick)

    for stage in report.stages:
        latency = stage.latency_ms.p50 if stage.latency_ms else None
        print(f"{stage.name:14} {stage.size_bytes or 0:>9,} bytes  accuracy {stage.score}  p50 {latency} ms")
    print(f"{report.status}: {arguments.out / 'report.html'}")


if __name__ == "__main__":
    main()
