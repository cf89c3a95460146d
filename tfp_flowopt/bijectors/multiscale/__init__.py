"""Multi-scale flows of images and the parts that only they have."""
