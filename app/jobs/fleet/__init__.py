"""
Jobs for any number of machines: imported only where CELERY_BROKER_URL is set.

The store (Redis) has the state of every job; a message of the broker only says that there may be something to do.
A message too many is ignored, because `claim` gives a job to one worker only; one that was lost is sent again by the
sweep. So the broker may deliver twice, lose messages, or be replaced by another one.
"""
