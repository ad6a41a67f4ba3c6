"""The audit trail: who changed what, and which reasons were told."""

from homefeed.serving.audit.trail import AuditError, Entry, Trail, What, operator

__all__ = ["AuditError", "Entry", "Trail", "What", "operator"]
