"""Speed, memory and latency beside references: what `affectscope bench` runs."""
