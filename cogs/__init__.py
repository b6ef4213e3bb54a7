"""What people see and press: one file for each thing that people get."""
