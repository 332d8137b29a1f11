"""How a comparison is shown: the HTML report with its figures, and the terminal."""
