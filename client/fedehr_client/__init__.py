"""What runs inside a hospital: importing records, and answering a study's work."""
