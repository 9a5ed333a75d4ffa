"""What draws the diagrams is a script in the folder of the docs, not a package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / 'docs'))
