"""What a report is made of: its input, its pictures, its tables and its notes."""
