"""Studies on simulated and generated subjects whose figures stand in READMEs: what some commands run."""
