"""What moved in the history of a project, since when, and how sure that is."""
