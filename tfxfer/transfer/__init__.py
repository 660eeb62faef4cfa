"""One Run: a network put to use on a task, from its names to its Record."""
