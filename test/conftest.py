"""Property tests try the same examples every time; `HYPOTHESIS_PROFILE=explore` tries new ones."""

import os
import sys
from pathlib import Path

from hypothesis import settings

# The modules that tests of several rooms share.
sys.path.insert(0, str(Path(__file__).parent / 'helpers'))
pytest_plugins = ['tiny_datasets']

# A busy machine is slow now and then: no example has a deadline.
settings.register_profile('fixed', derandomize=True, deadline=None)
settings.register_profile('explore', deadline=None, max_examples=1000)
settings.load_profile(os.environ.get('HYPOTHESIS_PROFILE', 'fixed'))
