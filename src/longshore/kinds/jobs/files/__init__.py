"""What a job takes in and gives out."""
