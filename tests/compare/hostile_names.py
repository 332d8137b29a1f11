"""Names that a table may hold and that try to be more than text in a page, a terminal or Markdown."""

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "\"' onmouseover='alert(3)",
    "<b>bold</b> <a href='http://evil.example'>link</a>",
    "{{ 7 * 7 }} {% raw %}",
    "\u202eright to left\u2066 \x00\x1b[31m\u2028",
    "%{x} $\\alpha$ &amp; <br>",
    "very long " * 30,
    "[click](javascript:alert(1)) ![x](http://evil.example/x.png) http://evil.example www.evil.example",
    "a | b `c` *d* _e_ ~~f~~ \\| # g\n| h |\n\n- i",
]
