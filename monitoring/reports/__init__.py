"""What a campaign came to, for people and for CI: terminal, HTML, Markdown, JUnit, JSON."""
