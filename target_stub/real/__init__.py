"""The ports of the services for real: processes, PostgreSQL, HTTP, an S3 store, a held clock.

A service that runs in the simulation runs here unchanged; only who hands it its ports differs.
"""
