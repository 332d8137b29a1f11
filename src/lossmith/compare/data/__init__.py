"""What is compared on: a table read, its columns understood, its rows split and encoded."""
