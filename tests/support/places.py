"""Where things lie: the checkout, the scripts that tests start, real photos with human scores if there are any."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUPPORT = ROOT / "tests" / "support"
SHARED = Path(os.environ.get("RIQA_SHARED_DATA", ROOT.parent / "shared" / "data")).resolve()
