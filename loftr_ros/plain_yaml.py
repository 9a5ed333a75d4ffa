"""YAML that others wrote."""

from __future__ import annotations

from typing import Any

import yaml

from loftr_ros.texts import shortened

LONGEST_REASON = 200


class YamlError(ValueError):
    """A text is no YAML, or none that is read here; the message is one short sentence."""


class _Loader(yaml.SafeLoader):
    """Refuses aliases, of which a few lines make values without end; ROS knows none either."""

    def compose_node(self, parent: Any, index: Any) -> Any:  # noqa: ANN401 - as yaml has them
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError('aliases are not used')
        return super().compose_node(parent, index)


def read_yaml(text: str) -> Any:  # noqa: ANN401 - whatever YAML holds
    """Read YAML without aliases.

    Raises:
        YamlError: It is none, has aliases or is nested too deep.
    """
    try:
        return yaml.load(text, _Loader)  # nosec B506
    except RecursionError as error:
        raise YamlError('nested too deep') from error
    # Besides its own error, yaml raises what the types happen to: int('0b'), {[]: 1}, 2026-99-99.
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError) as error:
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise YamlError(shortened(reason, LONGEST_REASON)) from error
