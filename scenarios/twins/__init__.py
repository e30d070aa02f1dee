"""A twin for every service of the exchange: pure cores that are fed what was made durable.

The chain's twin does not believe what the chain was told of the cloud. Where that is market values
or volumes, it takes those of the twins of market data and of the count, so that one core that never
crashed stands behind all of them.
"""
