"""Networks compared on one's own images: asked in one line, answered in words."""
