"""What all measures share."""
