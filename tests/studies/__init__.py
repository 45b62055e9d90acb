"""What a source checkout runs besides the program: papers, studies, generated data, the shipped model."""
