"""What the tests of engine and window share: news and a store made of the shipped simulated recording."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "view"))  # for filled_store, whatever folder is run
