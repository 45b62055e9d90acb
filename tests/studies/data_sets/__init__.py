"""Data sets generated in published layouts: what `affectscope make-dataset` writes."""

from tests.studies.data_sets.eav import make_eav
from tests.studies.data_sets.options import MakeOptions
from tests.studies.data_sets.seed import make_seed_iv, make_seed_v

MAKE = {"seed-iv": make_seed_iv, "seed-v": make_seed_v, "eav": make_eav}

__all__ = ["MAKE", "MakeOptions"]
