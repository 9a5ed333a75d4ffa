"""Names of EfficientLoFTR's parameters in the layout of transformers, and those of the authors.

The network here bears the authors' names, so that their checkpoints load unchanged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from loftr_ros.matching.config import EfficientConfig

TRANSFORMERS = 'efficientloftr.'
"""How names begin in that layout, those of the fusion apart."""

BRANCHES = {
    'conv1.conv': 'rbr_dense.conv',
    'conv1.norm': 'rbr_dense.bn',
    'conv2.conv': 'rbr_1x1.conv',
    'conv2.norm': 'rbr_1x1.bn',
    'identity': 'rbr_identity',
}
"""Of a block of the backbone."""

ATTENTION = {
    'aggregation.q_aggregation': 'aggregate',
    'aggregation.norm': 'norm1',
    'attention.q_proj': 'q_proj',
    'attention.k_proj': 'k_proj',
    'attention.v_proj': 'v_proj',
    'attention.o_proj': 'merge',
    'mlp.fc1': 'mlp.0',
    'mlp.fc2': 'mlp.2',
    'mlp.layer_norm': 'norm2',
}
"""Of a layer of the transformer."""

FUSION = {
    'out_conv': 'layer3_outconv',
    'out_conv_layers.0.out_conv1': 'layer2_outconv',
    'out_conv_layers.0.out_conv2': 'layer2_outconv2.0',
    'out_conv_layers.0.batch_norm': 'layer2_outconv2.1',
    'out_conv_layers.0.out_conv3': 'layer2_outconv2.3',
    'out_conv_layers.1.out_conv1': 'layer1_outconv',
    'out_conv_layers.1.out_conv2': 'layer1_outconv2.0',
    'out_conv_layers.1.batch_norm': 'layer1_outconv2.1',
    'out_conv_layers.1.out_conv3': 'layer1_outconv2.3',
}
"""Of the fusion."""


def module_names(config: EfficientConfig) -> dict[str, str]:
    """Module of the layout of transformers to the module here."""
    names: dict[str, str] = {}
    for stage, count in enumerate(config.blocks):
        for block in range(count):
            place = 'backbone.layer0' if stage == 0 else f'backbone.layer{stage}.{block}'
            theirs = f'{TRANSFORMERS}backbone.stages.{stage}.blocks.{block}'
            names |= {f'{theirs}.{a}': f'{place}.{b}' for a, b in BRANCHES.items()}
    for layer in range(2 * config.layers):
        kind = 'self_attention' if layer % 2 == 0 else 'cross_attention'
        theirs = f'{TRANSFORMERS}local_feature_transformer.layers.{layer // 2}.{kind}'
        names |= {f'{theirs}.{a}': f'loftr_coarse.layers.{layer}.{b}' for a, b in ATTENTION.items()}
    names |= {f'refinement_layer.{a}': f'fine_preprocess.{b}' for a, b in FUSION.items()}
    return names


def from_transformers(state: dict[str, Tensor], config: EfficientConfig) -> dict[str, Tensor]:
    """State dict with the names that the network has here; unknown names stay as they are."""
    names = module_names(config)
    renamed = {}
    for name, value in state.items():
        module, _, parameter = name.rpartition('.')
        renamed[f'{names[module]}.{parameter}' if module in names else name] = value
    return renamed
