"""`greenlight check`: asks everything that a release will need, and says what is missing, each with its fix."""
