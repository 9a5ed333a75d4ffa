"""Let the tests share a module."""

import sys
from pathlib import Path

# The module that the tests share: agreement.
sys.path.insert(0, str(Path(__file__).parent))
