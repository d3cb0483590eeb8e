"""WPO, the flow without a model, against SAC."""
