"""The audit log: one record for each decision, for all inputs."""

from receiver.ingress.audit.decisions import note, note_held
from receiver.ingress.audit.log import AuditLog
from receiver.ingress.audit.sink import File, Sink, StandardOutput

__all__ = ["AuditLog", "File", "Sink", "StandardOutput", "note", "note_held"]
