"""A logger that keeps what was logged: SB3 empties its own at every dump."""

from typing import Any

from stable_baselines3.common.logger import Logger


class KeepingLogger(Logger):
    def __init__(self) -> None:
        super().__init__(folder=None, output_formats=[])
        self.rows: list[dict[str, Any]] = []

    def dump(self, step=0) -> None:
        self.rows.append(dict(self.name_to_value))
        super().dump(step)
