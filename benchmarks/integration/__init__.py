"""sb3-contrib, SB3's own tests, off-policy algorithms, killed processes."""
