"""What is compared: arms, each a loss with its weighting, resampling and decision rule."""
