"""What an attacker learns of single subjects: from a released model, and from one update."""
