"""YOLOX (arXiv 2107.08430) for inference in PyTorch: the nano model that finds breasts, and its larger relatives.

Modules bear the names of Megvii's release, so that checkpoints of that family load: `backbone.backbone.*` (CSPDarknet),
`backbone.*` (path aggregation) and `head.*` (decoupled heads at strides 8, 16 and 32).
"""

import torch
from torch import nn
from torch.nn import functional as F

STRIDES = (8, 16, 32)
LEVELS = range(len(STRIDES))
BATCH_NORM = {"eps": 1e-3, "momentum": 0.03}  # as Megvii sets them; eps is not in a checkpoint


class ConvUnit(nn.Module):
    """Convolution that keeps the size (or divides it by the stride), batch norm, SiLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs, **BATCH_NORM)

    def forward(self, x):
        return F.silu(self.bn(self.conv(x)), inplace=True)


class SeparableUnit(nn.Module):
    """A depthwise and a pointwise convolution instead of one: what makes the nano model small."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1):
        super().__init__()
        self.dconv = ConvUnit(inputs, inputs, kernel, stride, groups=inputs)
        self.pconv = ConvUnit(inputs, outputs)

    def forward(self, x):
        return self.pconv(self.dconv(x))


class Residual(nn.Module):
    def __init__(self, channels: int, unit: type, shortcut: bool):
        super().__init__()
        self.conv1 = ConvUnit(channels, channels)
        self.conv2 = unit(channels, channels, 3)
        self.shortcut = shortcut

    def forward(self, x):
        y = self.conv2(self.conv1(x))
        return x + y if self.shortcut else y


class CrossStage(nn.Module):
    """Half of the channels go through `depth` residual blocks, the other half past them."""

    def __init__(self, inputs: int, outputs: int, depth: int, unit: type, shortcut: bool):
        super().__init__()
        half = outputs // 2
        self.conv1, self.conv2 = ConvUnit(inputs, half), ConvUnit(inputs, half)
        self.conv3 = ConvUnit(2 * half, outputs)
        self.m = nn.Sequential(*(Residual(half, unit, shortcut) for _ in range(depth)))

    def forward(self, x):
        return self.conv3(torch.cat((self.m(self.conv1(x)), self.conv2(x)), dim=1))


class Focus(nn.Module):
    """Every other pixel of every other row into channels of their own: (B, C, H, W) → (B, 4C, H/2, W/2) → units."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv = ConvUnit(4 * inputs, outputs, 3)

    def forward(self, x):
        if self.conv.conv.stride == (2, 2):  # fused
            return self.conv(x)
        corners = [x[..., row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.conv(torch.cat(corners, dim=1))

    def fuse(self) -> None:
        """Make of the corners and their convolution by 3 × 3 what is the same: one of 6 × 6 with a stride of 2."""
        corners = self.conv.conv
        outputs, inputs = corners.out_channels, corners.in_channels // 4
        whole = nn.Conv2d(inputs, outputs, 6, 2, 2, bias=corners.bias is not None)
        # (outputs, column, row, inputs, y, x) → (outputs, inputs, y, row, x, column)
        weight = corners.weight.view(outputs, 2, 2, inputs, 3, 3).permute(0, 3, 4, 2, 5, 1)
        whole.weight = nn.Parameter(weight.reshape(whole.weight.shape))
        whole.bias = corners.bias
        self.conv.conv = whole


class PyramidPooling(nn.Module):
    """Maxima over 5, 9 and 13 pixels beside the features themselves."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = ConvUnit(channels, channels // 2)
        self.conv2 = ConvUnit(channels // 2 * 4, channels)

    def forward(self, x):
        x = self.conv1(x)
        levels = [x]
        for _ in range(3):  # windows of 5, one after the other, reach 5, 9 and 13
            levels.append(F.max_pool2d(levels[-1], 5, stride=1, padding=2))
        return self.conv2(torch.cat(levels, dim=1))


class Darknet(nn.Module):
    """Features at strides 8, 16 and 32, `width`, 2 × and 4 × `width` × 256 channels deep."""

    def __init__(self, base: int, depth: int, unit: type):
        super().__init__()
        self.stem = Focus(3, base)
        self.dark2 = self._stage(2 * base, depth, unit)
        self.dark3 = self._stage(4 * base, 3 * depth, unit)
        self.dark4 = self._stage(8 * base, 3 * depth, unit)
        last = 16 * base
        down, stage = unit(last // 2, last, 3, 2), CrossStage(last, last, depth, unit, shortcut=False)
        self.dark5 = nn.Sequential(down, PyramidPooling(last), stage)

    @staticmethod
    def _stage(channels: int, depth: int, unit: type) -> nn.Sequential:
        stage = CrossStage(channels, channels, depth, unit, shortcut=True)
        return nn.Sequential(unit(channels // 2, channels, 3, 2), stage)

    def forward(self, x):
        eighth = self.dark3(self.dark2(self.stem(x)))
        sixteenth = self.dark4(eighth)
        return eighth, sixteenth, self.dark5(sixteenth)


class PathAggregation(nn.Module):
    """Darknet, its coarse features handed down to the fine ones and back up."""

    def __init__(self, base: int, depth: int, unit: type):
        super().__init__()
        fine, middle, coarse = 4 * base, 8 * base, 16 * base
        self.backbone = Darknet(base, depth, unit)
        self.lateral_conv0 = ConvUnit(coarse, middle)
        self.C3_p4 = CrossStage(2 * middle, middle, depth, unit, shortcut=False)
        self.reduce_conv1 = ConvUnit(middle, fine)
        self.C3_p3 = CrossStage(2 * fine, fine, depth, unit, shortcut=False)
        self.bu_conv2 = unit(fine, fine, 3, 2)
        self.C3_n3 = CrossStage(2 * fine, middle, depth, unit, shortcut=False)
        self.bu_conv1 = unit(middle, middle, 3, 2)
        self.C3_n4 = CrossStage(2 * middle, coarse, depth, unit, shortcut=False)

    def forward(self, x):
        fine, middle, coarse = self.backbone(x)
        lateral = self.lateral_conv0(coarse)
        reduced = self.reduce_conv1(self.C3_p4(torch.cat((_doubled(lateral), middle), dim=1)))
        fine = self.C3_p3(torch.cat((_doubled(reduced), fine), dim=1))
        middle = self.C3_n3(torch.cat((self.bu_conv2(fine), reduced), dim=1))
        coarse = self.C3_n4(torch.cat((self.bu_conv1(middle), lateral), dim=1))
        return fine, middle, coarse


def _doubled(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


class DecoupledHead(nn.Module):
    """Features of each stride → (B, A, 5 + classes): what each cell says of the box around it, not decoded."""

    def __init__(self, base: int, unit: type, classes: int):
        super().__init__()
        width = 4 * base
        self.stems = nn.ModuleList(ConvUnit(width * 2**level, width) for level in range(3))
        self.cls_convs, self.reg_convs = (
            nn.ModuleList(nn.Sequential(unit(width, width, 3), unit(width, width, 3)) for _ in STRIDES)
            for _ in range(2)
        )
        self.cls_preds, self.reg_preds, self.obj_preds = (
            nn.ModuleList(nn.Conv2d(width, outputs, 1) for _ in STRIDES) for outputs in (classes, 4, 1)
        )

    def forward(self, features, levels=LEVELS):
        return torch.cat([self._level(features[level], level) for level in levels], dim=2).transpose(1, 2)

    def _level(self, x, level: int):
        x = self.stems[level](x)
        box = self.reg_convs[level](x)
        parts = (
            self.reg_preds[level](box),
            self.obj_preds[level](box),
            self.cls_preds[level](self.cls_convs[level](x)),
        )
        return torch.cat(parts, dim=1).flatten(2)


class Yolox(nn.Module):
    """The detector; without arguments the nano model, for one class.

    Tiny is depth 0.33, width 0.375, depthwise False; s 0.33, 0.5; m 0.67, 0.75; l 1, 1; x 1.33, 1.25.
    """

    def __init__(self, classes: int = 1, *, depth: float = 0.33, width: float = 0.25, depthwise: bool = True):
        super().__init__()
        base, blocks, unit = int(64 * width), round(3 * depth), SeparableUnit if depthwise else ConvUnit
        self.backbone = PathAggregation(base, blocks, unit)
        self.head = DecoupledHead(base, unit, classes)

    def raw(self, images: torch.Tensor) -> torch.Tensor:
        """What training needs: boxes not decoded, objectness and classes as logits, (B, A, 5 + classes)."""
        return self.head(self.backbone(images))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) in 0 … 255, H and W multiples of 32 → (B, A, 5 + classes).

        A = H·W·(1/64 + 1/256 + 1/1024) cells, fine ones first, row by row: centre x and y, width and height in
        pixels, objectness and the classes' probabilities.
        """
        return self.predict(self.backbone(images), images.shape[-2:])

    def predict(self, features, size: tuple[int, int], levels=LEVELS) -> torch.Tensor:
        """What `forward` gives, from the `backbone`'s features of images of `size` (H, W), of some strides' cells."""
        output = self.head(features, levels)
        boxes = decode(output[..., :4], size, levels)
        return torch.cat((boxes, output[..., 4:].sigmoid()), dim=-1)


def cells(size: tuple[int, int], device=None, levels=LEVELS) -> torch.Tensor:
    """(H, W) of an image → (A, 3): column and row of each cell, and its stride in pixels."""
    grids = []
    for stride in (STRIDES[level] for level in levels):
        rows, columns = (torch.arange(side // stride, dtype=torch.float32, device=device) for side in size)
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        grids.append(torch.stack((x, y, torch.full_like(x, stride)), dim=-1).flatten(0, 1))
    return torch.cat(grids)


def decode(raw: torch.Tensor, size: tuple[int, int], levels=LEVELS) -> torch.Tensor:
    """Boxes (B, A, 4) as the head gives them → centre x and y, width, height in pixels of an image of `size` (H, W)."""
    cell = cells(size, raw.device, levels)
    strides = cell[:, 2:]
    return torch.cat(((raw[..., :2] + cell[:, :2]) * strides, raw[..., 2:4].exp() * strides), dim=-1)


def fused(model: Yolox) -> Yolox:
    """The same model for inference, in place: batch norms and the first corners become part of convolutions."""
    for module in model.eval().modules():
        if isinstance(module, ConvUnit) and isinstance(module.bn, nn.BatchNorm2d):
            module.conv = nn.utils.fuse_conv_bn_eval(module.conv, module.bn)
            module.bn = nn.Identity()
    model.backbone.backbone.stem.fuse()
    return model
