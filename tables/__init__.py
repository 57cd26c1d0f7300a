"""The state that workers own, in Faust tables with changelogs."""
