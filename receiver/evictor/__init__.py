"""The worker that clears shared token caches and sessions in Redis, and keeps them cleared, whichever stack wrote them.

How it works, from one logout to its end:

0. **Take** (`share`, `flows`). Evictions are worked on side by side, as many as the processor has time for. Those of
   one storm and others take turns; those of one user keep their order. Each is work on its own, written as if it were
   alone; what all of them ask Redis at the same moment goes in one round trip (`bus.link.trips`).
1. **Find** (`find`, `caches`). The keys of a user are those an app registered, those that follow from the account,
   those the index knows, and those the stack's own index names. A value found may name a further account, so the
   search is done again.
2. **Note** (`evict`, `bus.caches.removals`). Before anything is removed, place and user are noted: from then on it
   may come back.
3. **Decide** (`decisions`). Pure functions say which sign-ins of a value are over: by the logout itself, or later by
   marks and by what is remembered. A value that cannot be read goes only if it bears its layout's signature, or if an
   app named its key.
4. **Clear** (`clear`). What is over is cut out by compare-and-set, or the key deleted. After a lost race the new value
   is decided anew.
5. **Look again** (`recheck`). An order in Redis, which outlives any worker, has the keys looked at after 2, 10 and 60
   seconds.
6. **Watch** (`watch`, `examine`). One worker, by a lease, hears of every write and reads everything now and then. It
   learns which users' values are where, and decides by marks: so it catches a refresh in flight, and logouts that were
   published before their account was known.

A layout (`core.layouts`) is one pure object: which keys, what is in a value, the value without one of its users, what
is kept beside it, its signature. What no layout can read is counted (`bad_values`) and left; it never ends the worker.
"""

NAME = "evictor"
"""The worker's name as an app and as a group, in the trace and in metrics."""
