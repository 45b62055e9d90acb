"""What the network is compared with, trained on the same windows; `models.baselines.registry` names them."""
