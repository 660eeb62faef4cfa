"""Training by SGD on one device or many, stopped and resumed at any step."""
