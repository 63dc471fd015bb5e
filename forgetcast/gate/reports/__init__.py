"""A verdict for people and for other programs: words, Markdown, JUnit."""
