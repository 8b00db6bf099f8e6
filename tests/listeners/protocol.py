"""What the kit and a listener say to each other; shown by `python -m tests.listeners --help`."""

from __future__ import annotations

PROTOCOL = """\
The listener under test is a program that the kit starts with --command, for each situation and restart anew. A thin
driver around your listener reads orders from standard input and writes answers to standard output, both one JSON object
a line, in UTF-8. Standard error is its log. It ends when its standard input ends.

  {"id": 7, "do": "ask", "claims": {"iss": "...", "aud": "c1", "sub": "..."}}        an order
  {"id": 7, "status": "live"}                                                        its answer
  {"id": 7, "error": "what went wrong"}                                              an order that failed

Nothing else is written to standard output, and each answer at once (flush it). A line of an answer has 1 MiB at most,
one of an order a few KiB. An order is answered within 20 seconds where nothing else is said. The program ends within 10
seconds after its standard input; it may also be killed. `start` is the first order, and there is one in a process.

`id` is the order's number. Orders are sent without waiting for the answer of the one before, and answers may come in
any order: an `ask` that waits for Redis must not hold up others. Ignore members of an order that you do not know.

ORDERS

start     Begin to listen. Answer as soon as the other orders may be sent, also where Redis cannot be reached yet.
            redis         URL of Redis: redis://[user:password@]127.0.0.1:port/0
                          The user, where there is one, has the rights of A1 in docs/listener.md, or none on marks.
            prefix        of all keys: {logout}
            app           the app's name, for acknowledgements
            client_id     the app's own at the OP: c1
            wait_s        seconds one blocking read waits for news: 0.5 here, 5 in earnest. The others follow from it: a
                          process counts as deaf after two waits without an answer, and it gives a sign of life every
                          two waits (10 seconds in earnest). A question takes at most 2 seconds.
            clear         what the app's own clearing of caches (its handler, called for each eviction) does: `works`,
                          `hangs` (it never returns), `fails` (it raises). The handler of a reset always works.
            when_unknown  `serve` or `refuse`: the app's choice for sessions that cannot be told; `status` is `unknown`
                          in both cases, `allowed` is true with `serve` and false with `refuse`
          Answer: {"id": ...}
sign_in   A user has signed in: register the session, or only ask.
            claims        of the ID token, as received
            account       MSAL's home account id; absent or null where it is the `sub`
          Answer: {"id": ..., "status": "live" | "ended" | "unknown"}
ask       A request of a session came in. `claims` and `account` as above: those of the sign-in.
          Answer: {"id": ..., "status": "live" | "ended" | "unknown"}
refresh   A request of a session takes the user's tokens from the token cache. `claims`: of the ID token beside them.
          When the tokens were cached is not said (T2).
          Answer: {"id": ..., "allowed": true | false}
write     A request that was running stores tokens in the token cache. `claims`: of the ID token among them, which may
          have been renewed meanwhile, with a new `iat`.
          Answer: {"id": ..., "allowed": true | false}
health    Answer: {"id": ..., "hears": true | false   whether the stream was read within two waits
                   "skipped": 0   entries skipped, or whose number could not be read
                   "resets": 0    times the app was told that evictions were missed; a reset it is told of again is one
                   "heard": 0}    evictions whose clearing was begun
loop      Optional, for `python -m tests.listeners.figures`: ask about one session so many times, one after another.
            claims, account  as above
            times            how often
          Answer: {"id": ..., "us": microseconds each took}
stop      Stop listening, say goodbye, close the connections. Answer when that is done; no order follows.
          Answer: {"id": ...}

WHAT IS LOOKED AT

Answers, the log (bad entries by their entry id; what to grant where rights are missing), the commands Redis takes, the
keys {logout}:instances and {logout}:acks:<id>, and the memory of the process. `live` means that the request goes on,
`ended` that it is refused, `unknown` that neither the listener nor Redis can tell.

A storm has --logouts logouts; memory may grow by 200 MiB. The other figures are shown, and wrong only if far off.

The contract is docs/listener.md; the numbers in the table are its rules. Decisions as data for your own tests are in
docs/schemas/listener-vectors.json. See the situations with --list, try one with --only NAME --verbose.
"""
