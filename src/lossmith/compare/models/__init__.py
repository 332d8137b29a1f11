"""What is trained: small networks and boosted trees, which all take `Prepared` rows and return a `Fitted` model."""
