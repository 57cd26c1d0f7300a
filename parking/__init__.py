"""Parking: commands that fail because of a bug wait, in order, until an operator retries or discards them.

When handling a command raises, the command becomes a *letter* at the end of its aggregate's *queue*, and every later
command of that aggregate joins the queue behind it; all other aggregates continue. The queue is part of the aggregate's
table, so it changes in the same transaction as everything else (`queue.py`). `RetryLetters` and `DiscardLetter` come
through the aggregate's command topic like any other command. Each change is also told on the topic `dead-letters`
(`letter.py`), from which everybody but the owning worker knows what is parked (`book.py`).
"""
