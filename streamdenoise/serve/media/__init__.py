"""Video and images of a camera in the forms that browsers show."""
