"""Reports: one HTML file with images, candidates, and a script that decides on them with other limits."""
