"""The doors of Proctor: the command line, the deployment catalog and local services."""
