"""The audit trail: who changed what, and which reasons were told."""

from homefeed.serving.audit.trail import AuditError, Entry, Trail, Wanted, What, aside, operator

__all__ = ["AuditError", "Entry", "Trail", "Wanted", "What", "aside", "operator"]
