"""The offline page of a profile or of the analysis of a trace, and its other formats."""

from codesign.report.profile.page import profile_page
from codesign.report.profile.view import ProfileView

__all__ = ["ProfileView", "profile_page"]
