"""One vector for what an image shows, pooled from its coarse features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


def covariance_signature(features: Tensor) -> NDArray[np.float32]:
    """Pool local features to a signature whose dot product with another says how alike they are.

    The square root of the covariance of the features (P. Li et al., "Is second-order information
    helpful for large-scale visual recognition?", ICCV 2017): it knows which features occur
    together, and needs neither a vocabulary nor training. The root keeps the few directions that
    all images vary along from drowning the others.

    Args:
        features: (L, C), of the valid cells.

    Returns:
        float32 (C * (C + 1) / 2,) of length 1; zeros for features without any variation.
    """
    centred = features.float() - features.float().sum(dim=0) / max(len(features), 1)
    covariance = (centred.T @ centred / max(len(centred), 1)).cpu().numpy().astype(np.float64)
    variances, directions = np.linalg.eigh(covariance)
    root = (directions * np.sqrt(np.maximum(variances, 0.0))) @ directions.T
    rows, columns = np.triu_indices(len(root))
    # Every element off the diagonal stands for two of the symmetric matrix.
    entries = root[rows, columns] * np.where(rows == columns, 1.0, np.sqrt(2.0))
    length = np.linalg.norm(entries)
    return np.asarray(entries / length if length > 0 else entries, np.float32)
