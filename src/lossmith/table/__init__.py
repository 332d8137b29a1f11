"""Tables from files and data frames, read safely: what a command needs before it knows what the columns mean."""
