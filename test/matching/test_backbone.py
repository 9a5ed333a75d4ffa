import torch
from torch import nn

from loftr_ros.matching.weights import load_weights


def test_folding_batch_norms_removes_them_and_keeps_the_maps() -> None:
    torch.manual_seed(0)
    backbone = load_weights('lite').network.backbone
    images = torch.rand(2, 1, 96, 128)
    with torch.inference_mode():
        before = backbone(images)
        backbone.fold_batch_norms()
        after = backbone(images)

    assert not any(isinstance(module, nn.BatchNorm2d) for module in backbone.modules())
    for folded, plain in zip(after, before, strict=True):
        torch.testing.assert_close(folded, plain, rtol=0, atol=1e-5 * float(plain.abs().max()))
