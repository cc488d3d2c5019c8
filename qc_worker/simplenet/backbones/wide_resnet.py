"""WideResNet-50, the paper's backbone: levels 2 and 3 have strides 8 and 16."""

from pathlib import Path

from torch import Tensor, nn

from qc_worker.simplenet.backbones.levels import check_levels, load_strictly
from qc_worker.simplenet.backbones.weights import read_state

CHANNELS = {4: 256, 8: 512, 16: 1024, 32: 2048}


class WideResNetLevels:
    """Torchvision's `wide_resnet50_2` without the stages below the deepest level."""

    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def __init__(self, levels: tuple[int, ...], file: Path) -> None:
        from torchvision.models import wide_resnet50_2  # noqa: PLC0415 -- seconds of import that others need not pay

        check_levels("wide_resnet50_2", levels, tuple(CHANNELS))
        network = wide_resnet50_2(weights=None)
        load_strictly(network, read_state(file), str(file))
        stages = {4: network.layer1, 8: network.layer2, 16: network.layer3, 32: network.layer4}
        self.levels = levels
        self.channels = tuple(CHANNELS[stride] for stride in levels)
        self.stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
        self.stages = {stride: stage for stride, stage in stages.items() if stride <= levels[-1]}
        self.module: nn.Module = nn.ModuleList([self.stem, *self.stages.values()])

    def maps(self, images: Tensor) -> list[Tensor]:
        found = []
        hidden = self.stem(images)
        for stride, stage in self.stages.items():
            hidden = stage(hidden)
            if stride in self.levels:
                found.append(hidden)
        return found
