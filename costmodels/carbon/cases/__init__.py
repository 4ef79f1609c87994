"""Kinds of case (``codesign.cases``) that check the carbon models: functions of plain inputs to plain values."""
