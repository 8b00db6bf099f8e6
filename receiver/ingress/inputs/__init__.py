"""The ways in: each reads what its sender says and turns it into evictions; `ingress.intake` does all the rest."""

from receiver.ingress.inputs.jobs import input_jobs
from receiver.ingress.inputs.message import HttpInput, InputJob, Message, PromptInput
from receiver.ingress.inputs.resources import Resources
from receiver.ingress.inputs.table import ListenerName, Row, input_table

__all__ = [
    "HttpInput",
    "InputJob",
    "ListenerName",
    "Message",
    "PromptInput",
    "Resources",
    "Row",
    "input_jobs",
    "input_table",
]
