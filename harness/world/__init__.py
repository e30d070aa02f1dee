"""What is simulated round the target: stores, network, disk, services and their restarts.

Every operation is a scheduling point with a declared footprint, and has the semantics of the real
thing, its anomalies included.
"""
