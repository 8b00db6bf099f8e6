"""Real apps in processes of their own, an OP whose sessions go on after an operator's order, and the way back in."""
