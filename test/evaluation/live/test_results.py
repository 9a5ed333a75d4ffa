"""What a recording holds, read by its own definitions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from loftr_ros.data.bags.message_types import package_typestore
from loftr_ros.evaluation.live.results import _is_loop

NAME = 'loftr_ros/msg/RelativePose'
BEFORE_0_2 = 'uint8 KIND_PREVIOUS=0\nuint8 KIND_PAIR=2\nuint8 KIND_LOOP=3\nuint8 kind\n'


def test_loops_are_known_by_the_definition_in_the_bag() -> None:
    store = get_typestore(Stores.LATEST)
    store.register(get_types_from_msg(BEFORE_0_2, NAME))
    old = store.types[NAME]
    assert [_is_loop(old(kind)) for kind in range(4)] == [False, False, False, True]
    new: Any = package_typestore().types[NAME]
    assert new.KIND_LOOP == 4
    assert _is_loop(SimpleNamespace(kind=4, KIND_LOOP=new.KIND_LOOP))
    assert not _is_loop(SimpleNamespace(kind=3, KIND_LOOP=new.KIND_LOOP))
    assert not _is_loop(SimpleNamespace(header=None))
