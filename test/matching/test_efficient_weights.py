"""Weights of EfficientLoFTR in the layouts they come in, by name and by file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from loftr_ros.commands.main import main
from loftr_ros.matching import catalogue
from loftr_ros.matching.config import ANYTHING, EFFICIENT
from loftr_ros.matching.efficient import EfficientLoFTR
from loftr_ros.matching.efficient_names import module_names
from loftr_ros.matching.errors import WeightsError
from loftr_ros.matching.weights import load_weights, save_weights


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv('LOFTR_ROS_CACHE', str(tmp_path / 'cache'))
    (tmp_path / 'cache').mkdir()
    return tmp_path / 'cache'


@pytest.fixture(scope='module')
def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return EfficientLoFTR(EFFICIENT).state_dict()


def in_the_layout_of_transformers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    theirs = {ours: name for name, ours in module_names(EFFICIENT).items()}
    split = {name: name.rpartition('.') for name in state}
    return {f'{theirs[split[n][0]]}.{split[n][2]}': value for n, value in state.items()}


def assert_loads(path: Path | str, state: dict[str, Tensor]) -> None:
    found = load_weights(path).network.state_dict()
    assert set(found) == set(state)
    for name, value in state.items():
        assert torch.equal(found[name], value), name


def offered_at(
    name: str, source: Path, monkeypatch: pytest.MonkeyPatch, licence: str = 'Apache-2.0'
) -> None:
    known = dataclasses.replace(catalogue.OFFICIAL[name], url=source.as_uri(), licence=licence)
    monkeypatch.setitem(catalogue.OFFICIAL, name, known)


def test_the_layout_of_transformers_loads(tmp_path: Path, state: dict[str, Tensor]) -> None:
    save_file(in_the_layout_of_transformers(state), tmp_path / 'model.safetensors')

    assert_loads(tmp_path / 'model.safetensors', state)


def test_the_official_layout_loads_without_counters(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    parameters = {k: v for k, v in state.items() if not k.endswith('num_batches_tracked')}
    official = {'state_dict': {f'matcher.{k}': v for k, v in parameters.items()}}
    torch.save(official, tmp_path / 'eloftr_outdoor.ckpt')

    assert_loads(tmp_path / 'eloftr_outdoor.ckpt', state)


def test_saved_weights_know_their_family(tmp_path: Path) -> None:
    network = EfficientLoFTR(ANYTHING)
    save_weights(network, tmp_path / 'mine.safetensors')

    assert load_weights(tmp_path / 'mine.safetensors').network.config == ANYTHING


def test_a_file_without_a_layer_is_refused_by_name(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    damaged = in_the_layout_of_transformers(state)
    del damaged['refinement_layer.out_conv.weight']
    damaged['refinement_layer.other.weight'] = torch.ones(1)
    save_file(damaged, tmp_path / 'model.safetensors')

    with pytest.raises(
        WeightsError,
        match=r'model.safetensors.*missing fine_preprocess.layer3_outconv.weight.*'
        r'unexpected refinement_layer.other.weight',
    ):
        load_weights(tmp_path / 'model.safetensors')


def test_a_page_instead_of_the_file_is_refused(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'page').write_text('<html>Sign in</html>')
    offered_at('efficient', tmp_path / 'page', monkeypatch)

    with pytest.raises(WeightsError, match='a web page, not the weights'):
        load_weights('efficient')


def test_a_download_is_kept_and_a_later_change_is_named(
    cache: Path, tmp_path: Path, state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(in_the_layout_of_transformers(state), tmp_path / 'model.safetensors')
    offered_at('efficient', tmp_path / 'model.safetensors', monkeypatch)
    assert_loads('efficient', state)

    save_file(
        in_the_layout_of_transformers(EfficientLoFTR(EFFICIENT).state_dict()),
        cache / 'efficientloftr.safetensors',
    )
    with pytest.raises(WeightsError, match=r'efficientloftr.safetensors: has changed.*delete it'):
        load_weights('efficient')


def test_weights_without_a_licence_ask_for_it_to_be_accepted_once(
    cache: Path, tmp_path: Path, state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(in_the_layout_of_transformers(state), tmp_path / 'model.safetensors')
    offered_at('anything', tmp_path / 'model.safetensors', monkeypatch, licence='')
    with pytest.raises(WeightsError, match=r'no licence.*--accept-licence'):
        load_weights('anything')

    assert main(['weights', '--download', 'anything', '--accept-licence']) == 0
    assert load_weights('anything').network.config == ANYTHING


def test_the_second_place_is_asked_where_the_first_has_nothing(
    cache: Path, tmp_path: Path, state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(in_the_layout_of_transformers(state), tmp_path / 'model.safetensors')
    known = dataclasses.replace(
        catalogue.OFFICIAL['efficient'],
        url=(tmp_path / 'nothing').as_uri(),
        mirrors=((tmp_path / 'model.safetensors').as_uri(),),
    )
    monkeypatch.setitem(catalogue.OFFICIAL, 'efficient', known)

    assert_loads('efficient', state)


def test_the_command_lists_what_there_is_and_what_is_missing(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (cache / 'outdoor_ds.ckpt').write_bytes(b'something else')

    assert main(['weights']) == 0

    lines = capsys.readouterr().out.splitlines()
    listed = dict(zip([line.split()[0] for line in lines[::2]], lines[1::2], strict=True))
    assert list(listed) == ['lite', 'outdoor', 'indoor', 'efficient', 'anything']
    assert 'lite.safetensors' in listed['lite']
    assert 'not the official outdoor_ds.ckpt' in listed['outdoor']
    missing = f'missing: {cache / "efficientloftr.safetensors"}, from https://huggingface.co/'
    assert missing in listed['efficient']
    assert 'no licence stated' in next(line for line in lines if line.startswith('anything'))
