"""Tests; a package, so that spawned processes of the benchmarks find theirs."""
