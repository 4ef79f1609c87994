"""The offline page of a profile or of the analysis of a trace."""

from codesign.report.profile.view import ProfileView

__all__ = ["ProfileView"]
