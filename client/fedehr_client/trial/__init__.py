"""A small study over the site's own records with a coordinator of its own, thrown away after."""
