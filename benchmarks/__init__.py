"""How long people wait, measured as ratios within one run: seconds mean nothing on another machine."""
