"""The page of the service and its REST API."""
