"""What tests share: a clock, keys, an OP that really signs, and a running receiver."""
