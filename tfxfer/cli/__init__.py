"""The programs: flags, and one call."""
