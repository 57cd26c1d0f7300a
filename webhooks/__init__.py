"""Webhooks: events that subscribers get over HTTP, signed, at least once, and in order per order or product.

subscription.py  a subscription and its changes          lanes.py      how far a partition is delivered; pure
store.py         subscriptions, on a compacted topic     backoff.py    when to try again; pure
progress.py      the progress of deliveries, in MongoDB  signing.py    the headers of Standard Webhooks
positions.py     offsets to start from                   addresses.py  addresses that are refused
reading.py       the events in records               sender.py     one request to a receiver
delivering.py    delivers the events of one subscription
deliverer.py     shares the subscriptions among the api processes
names.py         resolves names in threads of its own
"""
