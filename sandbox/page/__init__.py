"""The demo's page: Discord beside Production and Preview, and what to try."""
