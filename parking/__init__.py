"""Parking: commands that fail because of a bug wait, in order, until an operator retries or discards them.

When the handling of a command raises, the command becomes a *letter* at the end of its aggregate's *queue*, and every
later command of that aggregate joins the queue after it; all other aggregates continue (`handling.py`). The queue is
part of the aggregate's table, so it changes in the same transaction as everything else (`queue.py`). `RetryLetters` and
`DiscardLetter` arrive on the aggregate's command topic like any other command (`retrying.py`). Each change is also
written to the topic `dead-letters` (`telling.py`, `letter.py`), from which all other processes learn what is parked
(`book.py`).
"""
