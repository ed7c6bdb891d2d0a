"""The public functions of lamina."""
