"""Personal data: encrypted with a key per customer, so that erasing the key erases the data everywhere.

A customer's postal addresses are *sealed* before an order is decided (`sealing_commands.py`): events, states and read
models contain only ciphertext, and no code that folds or compares them needs a key. The `api` opens them in its answers
(`web/opening.py`). `sealing.py` has the cipher, `masters.py` wraps keys with the master keys, `keys.py` says where keys
are kept, `forgetting.py` erases them, and `repeats.py` compares an order without its key.

A customer has a key for each partition of the orders table, because only the owner of a partition may write a key: it
is created in the transaction of the customer's first order there, as an entry of the table and as a record of the topic
`customer-keys`.
"""
