"""Networks raced under a time budget: on ever more images, the worse ones out."""
