"""The site's account of privacy spent: written before anything is drawn, never lowered."""
