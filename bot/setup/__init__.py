"""From what a namespace holds today to an app that can be released: what `greenlight init` writes and prints."""
