import argparse
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from loftr_ros.matching import catalogue, weights
from loftr_ros.matching.catalogue import Checkpoint
from loftr_ros.matching.config import INDOOR, LITE, OUTDOOR, LoFTRConfig
from loftr_ros.matching.errors import WeightsError
from loftr_ros.matching.network import LoFTR
from loftr_ros.matching.weights import git_blob_id, load_weights, save_weights


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv('LOFTR_ROS_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


def official_layout(path: Path, config: LoFTRConfig = OUTDOOR) -> Path:
    state = {f'matcher.{key}': value for key, value in LoFTR(config).state_dict().items()}
    torch.save({'state_dict': state}, path)
    return path


def test_the_bundled_weights_load_without_a_network() -> None:
    loaded = load_weights('lite')

    assert loaded.name == 'lite'
    assert loaded.network.config.resolution == (16, 4)
    assert not loaded.network.training


def test_the_bundled_weights_are_small() -> None:
    path = weights.find_weights('lite')

    assert path.stat().st_size <= 5e6
    assert load_weights('lite').sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_official_layout_loads_unchanged(tmp_path: Path) -> None:
    path = official_layout(tmp_path / 'mine.ckpt')

    loaded = load_weights(path, 'outdoor')

    assert loaded.name == 'mine'
    assert loaded.network.config == OUTDOOR


def test_a_checkpoint_without_configuration_asks_for_one(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match='lite, outdoor, indoor'):
        load_weights(official_layout(tmp_path / 'mine.ckpt'))


def test_the_configuration_is_tied_to_the_known_file(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.mkdir()
    path = official_layout(cache / 'indoor_ds_new.ckpt')
    known = Checkpoint(path.name, git_blob_id(path.read_bytes()), 'http://127.0.0.1:9/none')
    monkeypatch.setitem(catalogue.OFFICIAL, 'indoor', known)

    assert load_weights('indoor').network.config == INDOOR


def test_saved_weights_carry_their_configuration(tmp_path: Path) -> None:
    network = LoFTR(LITE)
    save_weights(network, tmp_path / 'w.safetensors')

    loaded = load_weights(tmp_path / 'w.safetensors')

    assert loaded.network.config == LITE
    for key, value in network.state_dict().items():
        torch.testing.assert_close(loaded.network.state_dict()[key], value, rtol=1e-3, atol=1e-6)


def test_weights_know_how_many_pairs_they_were_trained_on(tmp_path: Path) -> None:
    network = LoFTR(LITE)
    save_weights(network, tmp_path / 'known.safetensors', {'training_pairs': '1200'})
    save_weights(network, tmp_path / 'unknown.safetensors')

    assert weights.training_pairs(tmp_path / 'known.safetensors') == 1200
    assert weights.training_pairs(tmp_path / 'unknown.safetensors') is None
    assert weights.training_pairs('lite') is not None


def test_weights_of_another_configuration_are_refused_with_the_keys(tmp_path: Path) -> None:
    path = official_layout(tmp_path / 'mine.ckpt')

    with pytest.raises(
        WeightsError, match=r'missing backbone.layer3_outconv2.*unexpected backbone.layer1'
    ):
        load_weights(path, 'lite')


def test_weights_of_another_shape_are_refused_with_the_shapes(tmp_path: Path) -> None:
    state = LoFTR(OUTDOOR).state_dict()
    state['backbone.bn1.weight'] = torch.ones(64)
    torch.save({'state_dict': state}, tmp_path / 'x.ckpt')

    with pytest.raises(WeightsError, match=r'backbone.bn1.weight \(64,\) instead of \(128,\)'):
        load_weights(tmp_path / 'x.ckpt', 'outdoor')


def test_weights_with_nan_are_refused(tmp_path: Path) -> None:
    state = LoFTR(LITE).state_dict()
    state['backbone.bn1.weight'] = torch.full((32,), float('nan'))
    torch.save(state, tmp_path / 'x.pt')

    with pytest.raises(WeightsError, match='NaN'):
        load_weights(tmp_path / 'x.pt', 'lite')


def save_text(path: Path) -> None:
    path.write_text('not weights')


def save_truncated(path: Path) -> None:
    torch.save(LoFTR(LITE).state_dict(), path)
    path.write_bytes(path.read_bytes()[:1000])


def save_code(path: Path) -> None:
    torch.save({'state_dict': os.system}, path)


@pytest.mark.parametrize('save', [save_text, save_truncated, save_code, Path.touch])
@pytest.mark.parametrize('name', ['x.ckpt', 'x.safetensors'])
def test_damaged_and_unsafe_files_are_refused(
    tmp_path: Path, save: Callable[[Path], None], name: str
) -> None:
    save(tmp_path / name)

    with pytest.raises(WeightsError, match=name):
        load_weights(tmp_path / name, 'lite')


def test_a_bad_configuration_in_the_metadata_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'x.safetensors'
    save_file({'a': torch.ones(1)}, path, {'loftr_config': json.dumps({'colour': 'red'})})

    with pytest.raises(WeightsError, match='colour'):
        load_weights(path)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(WeightsError, match='lite, outdoor, indoor'):
        load_weights('indor')


def test_offline_says_where_to_put_the_file(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = Checkpoint('outdoor_ds.ckpt', 'a' * 40, 'http://127.0.0.1:9/outdoor_ds.ckpt')
    monkeypatch.setitem(catalogue.OFFICIAL, 'outdoor', nobody)

    with pytest.raises(WeightsError, match=str(cache / 'outdoor_ds.ckpt')):
        load_weights('outdoor')


def test_a_download_is_verified_before_it_is_kept(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = official_layout(tmp_path / 'outdoor_ds.ckpt')
    genuine = git_blob_id(source.read_bytes())
    monkeypatch.setitem(
        catalogue.OFFICIAL, 'outdoor', Checkpoint(source.name, genuine, source.as_uri())
    )
    assert load_weights('outdoor').network.config == OUTDOOR
    assert (cache / source.name).is_file()

    (cache / source.name).unlink()
    forged = Checkpoint(source.name, 'b' * 40, source.as_uri())
    monkeypatch.setitem(catalogue.OFFICIAL, 'outdoor', forged)
    with pytest.raises(WeightsError, match='hash differs'):
        load_weights('outdoor')
    assert not (cache / source.name).exists()


def test_a_tampered_cache_is_refused(cache: Path) -> None:
    cache.mkdir()
    (cache / 'outdoor_ds.ckpt').write_bytes(b'something else')

    with pytest.raises(WeightsError, match='delete it'):
        load_weights('outdoor')


def test_the_blob_id_is_that_of_git() -> None:
    # git hash-object of a file that holds "hello\n".
    assert git_blob_id(b'hello\n') == 'ce013625030ba8dba906f756967f9e9ca394464a'


@pytest.mark.parametrize(
    ('text', 'problem'),
    [
        ('version https://git-lfs.github.com/spec/v1\noid sha256:1', 'Git LFS pointer'),
        ('\n<!DOCTYPE html><html>Sign in</html>', 'web page'),
        ('<html><body>404</body></html>', 'web page'),
    ],
)
@pytest.mark.parametrize('name', ['x.ckpt', 'x.safetensors'])
def test_what_is_no_weights_file_is_named_for_what_it_is(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(WeightsError, match=problem):
        load_weights(tmp_path / name)


def test_a_checkpoint_with_classes_says_which_and_how_to_save_its_weights(tmp_path: Path) -> None:
    namespace = argparse.Namespace(learning_rate=1)
    saved = {'state_dict': LoFTR(LITE).state_dict(), 'hyper_parameters': namespace}
    torch.save(saved, tmp_path / 'x.ckpt')
    with pytest.raises(WeightsError, match=r'Python class argparse.Namespace .* torch.save'):
        load_weights(tmp_path / 'x.ckpt', 'lite')


def lite_with(path: Path, tensors: dict[str, torch.Tensor], **config: object) -> Path:
    state = {**LoFTR(LITE).state_dict(), **tensors}
    metadata = {'loftr_config': json.dumps({**LITE.to_dict(), **config})}
    save_file({key: value.contiguous() for key, value in state.items()}, path, metadata)
    return path


@pytest.mark.parametrize('dtype', [torch.int32, torch.bool, torch.complex64])
def test_weights_of_other_types_are_refused(tmp_path: Path, dtype: torch.dtype) -> None:
    name, value = next((k, v) for k, v in LoFTR(LITE).state_dict().items() if v.is_floating_point())
    path = lite_with(tmp_path / 'x.safetensors', {name: value.to(dtype)})
    with pytest.raises(WeightsError, match=f'other types: {name} of {str(dtype)[6:]}'):
        load_weights(path)


@pytest.mark.parametrize(
    'config',
    [
        {'coarse_heads': 0},
        {'fine_heads': 0},
        {'initial_dim': -1},
        {'initial_dim': 10**12},
        {'initial_dim': 1.5},
        {'initial_dim': 'wide'},
        {'coarse_layers': 10**12},
        {'coarse_layers': None},
        {'block_dims': []},
    ],
)
def test_configurations_of_no_network_are_refused(
    tmp_path: Path, config: dict[str, object]
) -> None:
    with pytest.raises(WeightsError, match=r'x\.safetensors'):
        load_weights(lite_with(tmp_path / 'x.safetensors', {}, **config))


def test_metadata_that_nest_too_deep_are_refused(tmp_path: Path) -> None:
    path = tmp_path / 'x.safetensors'
    save_file({'a': torch.ones(1)}, path, {'loftr_config': '[' * 100_000})
    with pytest.raises(WeightsError, match='bad configuration'):
        load_weights(path)


def test_a_text_file_is_no_weights_file() -> None:
    with pytest.raises(WeightsError, match='/etc/passwd: not a readable weights file'):
        load_weights('/etc/passwd', 'outdoor')
