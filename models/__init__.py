"""Features, encoders, fusion and the decoder. Needs torch, never Qt."""
