"""Keras takes its backend when it is imported: in the test process torch."""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")
