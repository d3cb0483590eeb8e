"""The particle flow and the natural gradient (Dus 2026)."""
