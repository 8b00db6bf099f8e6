"""Public requests: routes, bounded bodies, the dispatcher to the inputs, and the answer to every ending."""
