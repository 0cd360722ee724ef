"""Graph formats of others; every module is imported by its full name, so that none loads another in vain."""
