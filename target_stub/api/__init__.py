"""The public interface of the exchange: the REST and WebSocket surface of the Paradex API.

Field names, decimal strings, millisecond times, status values and error codes are those of the
public API (https://docs.paradex.trade). Everything but the two services that carry it, ``gateway``
and ``socket``, is pure: from a state to a document, from a request to calls and an answer.
"""
