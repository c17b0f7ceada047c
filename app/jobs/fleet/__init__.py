"""
Jobs for any number of machines: imported only where CELERY_BROKER_URL is set.

Celery gives out the work: tasks are acknowledged late, retried, limited and handed over as its documentation says, and
the parts of a long recording are a chord. Redis has what Celery does not know: whose job it is, the pages of jobs,
idempotency keys, bytes counted, and the attempt that may end a job. A message twice is ignored: `claim` gives a job to
one worker, which holds it by a key that it renews.
"""
