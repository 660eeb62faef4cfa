"""Programs around the package, run from the checkout: python -m tools.<name>."""
