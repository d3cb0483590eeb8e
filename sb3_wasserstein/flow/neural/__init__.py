"""Neural policies through known dynamics: their natural gradient in the Wasserstein metric, after Dus 2026."""
