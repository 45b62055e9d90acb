"""Fusion variants, one a file; `models.fusion.FUSIONS` names them."""
