"""Models to measure, each a program that `harness.serving` talks to."""
