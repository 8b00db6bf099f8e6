"""The ways in: each reads what its sender says and turns it into evictions; `ingress.intake` does all the rest."""

from receiver.ingress.inputs.message import HttpInput, Message
from receiver.ingress.inputs.table import Listener, Row, input_table

__all__ = ["HttpInput", "Listener", "Message", "Row", "input_table"]
