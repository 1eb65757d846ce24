"""What every HTTP route shares; knows no kind."""
