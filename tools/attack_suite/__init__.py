"""What can go wrong around a program, done to it in a place of its own."""
