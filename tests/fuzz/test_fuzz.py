"""Random programs of reads, writes and views against plain NumPy, in eight shards.

`python tests/fuzz/run.py --minutes 60` goes on for longer, and prints what it finds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.insert(0, str(Path(__file__).parent))
from differ import check
from programs import Program, programs

SHARDS = 8
EXAMPLES = 250


@pytest.mark.parametrize("shard", range(SHARDS))
def test_programs_behave_as_numpys(shard: int) -> None:
    @seed(shard)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(programs())
    def behaves(program: Program) -> None:
        check(program)

    behaves()
