"""Flags of train_image_flow.py, and files of them."""

from absl import flags
import pytest


@pytest.mark.parametrize(
    'arguments, match',
    [
        (['--image_size=0'], 'image_size'),
        (['--image_size=12'], 'divisible'),
        (['--accumulation=0'], 'accumulation'),
        (['--batch_size=9', '--accumulation=2'], 'multiple of'),
        (['--bits=0'], 'bits'),
        (['--bits=9'], 'bits'),
        (['--channels=2'], 'channels'),
        (['--checkpoint=first'], 'checkpoint'),
        (['--checkpoints_to_keep=0'], 'checkpoints_to_keep'),
        (['--clip_norm=0'], 'clip_norm'),
        (['--clip_norm=inf'], 'clip_norm'),
        (['--compute_dtype=int8'], 'compute_dtype'),
        (['--config=/no/such/file'], '/no/such/file must hold flags'),
        (['--cpu_devices=0', '--strategy=mirrored'], 'cpu_devices'),
        (['--cpu_devices=2'], 'needs --strategy=mirrored'),
        (['--crop=left'], 'crop'),
        (['--deterministic=maybe'], 'deterministic'),
        (['--ema_decay=1'], 'ema_decay'),
        (['--ema_decay=-0.1'], 'ema_decay'),
        (['--ema_decay=nan'], 'ema_decay'),
        (['--eval_draws=0'], 'eval_draws'),
        (['--eval_images=1'], 'eval_images'),
        (['--flip=left'], 'flip'),
        (['--held_out=/no/such/folder', '--data=.'], 'held_out'),
        (['--held_out=.'], '--held_out needs --data'),
        (['--held_out_labels=folders'], 'held_out_labels belongs to'),
        (['--init_images=1'], 'init_images'),
        (['--label=-1'], 'label'),
        (['--label=1'], 'needs --labels'),
        (['--labels=folders'], 'needs --data'),
        (['--labels=/no/such/file', '--data=.'], 'labels must be a file'),
        (['--jit_compile=2'], 'jit_compile'),
        (['--local_constants=2'], 'local_constants'),
        (['--lipschitz_budget=-1'], 'lipschitz_budget'),
        (['--memory=none'], 'memory'),
        (['--mode=test'], 'mode'),
        (['--num_images=0'], 'num_images'),
        (['--profile=-1'], 'profile'),
        (['--schedule=linear'], 'schedule'),
        (['--optimizer=sgd'], 'optimizer'),
        (['--dequantization=none'], 'dequantization'),
        (['--strategy=tpu'], 'strategy'),
        (['--strategy=multi_worker'], 'TF_CONFIG'),
        (['--temperature=-1'], 'temperature'),
        (['--temperature=nan'], 'temperature'),
        (['--warmup_steps=-1'], 'warmup_steps'),
        (['--gaussianize_marginals=2'], 'gaussianize_marginals'),
        (['--whitening=full'], 'whitening'),
        (['--squeeze=haar'], 'squeeze'),
        (['--num_levels=0'], 'num_levels'),
        (['--num_levels=6'], 'divisible'),
        (['--num_steps=0'], 'num_steps'),
        (['--hidden_channels=7'], 'even'),
        (['--hidden_channels=-2'], 'hidden_channels'),
        (['--batch_size=0'], 'batch_size'),
        (['--batch_size=many'], 'batch_size'),
        (['--learning_rate=0'], 'learning_rate'),
        (['--learning_rate=nan'], 'learning_rate'),
        (['--learning_rate=inf'], 'learning_rate'),
        (['--train_steps=0'], 'train_steps'),
        (['--eval_every=0'], 'eval_every'),
        (['--checkpoint_every=0'], 'checkpoint_every'),
        (['--seed=-1'], 'seed'),
        (['--bad_images=ignore'], 'bad_images'),
        (['--data=/no/such/folder'], 'data'),
        (['--nu_steps=3'], 'nu_steps'),
        (['--workdir='], 'workdir'),
    ],
)
def test_bad_flags_stop_before_any_work(parse, tmp_path, arguments, match):
  with pytest.raises(flags.Error, match=match):
    parse(f'--workdir={tmp_path}', *arguments)
  assert not list(tmp_path.iterdir())


def test_data_sets_of_tfds_are_no_files(parse, tmp_path):
  """Whether they are there is seen when they are opened."""
  parse(
      f'--workdir={tmp_path}',
      '--data=tfds:mnist:train[:90%]',
      '--held_out=tfds:mnist:test',
      '--labels=tfds',
  )


def test_every_flag_has_a_bad_value(binary):
  """Of the table above; those of which any value will do are named."""
  marks = test_bad_flags_stop_before_any_work.pytestmark
  (mark,) = (m for m in marks if m.name == 'parametrize')
  tried = {
      argument.lstrip('-').split('=')[0]
      for arguments, _ in mark.args[1]
      for argument in arguments
  }
  module_flags = flags.FLAGS.flags_by_module_dict()['image_flow_flags']
  assert {flag.name for flag in module_flags} - tried == {'output'}


@pytest.mark.parametrize(
    'content, match',
    [
        ('{', 'must hold flags as JSON'),
        ('[1]', 'JSON object'),
        ('{"num_stepz": 3}', 'no flag num_stepz'),
        ('{"workdir": "x"}', 'no flag workdir'),
        ('{"batch_size": 0}', 'batch_size'),
    ],
)
def test_a_bad_configuration(parse, tmp_path, content, match):
  path = tmp_path / 'config.json'
  path.write_text(content)
  for arguments in (
      (f'--workdir={tmp_path}',),
      (f'--workdir={tmp_path / "w"}', f'--config={path}'),
  ):
    with pytest.raises(flags.Error, match=match):
      parse(*arguments)


def test_given_flags_come_before_files(parse, tmp_path):
  workdir = tmp_path / 'w'
  workdir.mkdir()
  (workdir / 'config.json').write_text(
      '{"num_steps": 1, "num_levels": 1, "batch_size": 1, "flip": true}'
  )
  path = tmp_path / 'c.json'
  path.write_text('{"num_steps": 2, "num_levels": 2, "eval_images": null}')
  parse(f'--workdir={workdir}', f'--config={path}', '--num_steps=3')
  values = flags.FLAGS
  assert (values.num_steps, values.num_levels, values.batch_size) == (3, 2, 1)
  assert values.flip is True and values.eval_images is None


def test_without_a_workdir(parse):
  with pytest.raises(flags.Error, match='workdir'):
    parse()


def test_a_workdir_inside_the_data_is_refused(parse, folder):
  for workdir in (folder, folder / 'runs' / 'a'):
    with pytest.raises(flags.Error, match='inside --data'):
      parse(f'--workdir={workdir}', f'--data={folder}')
  parse(f'--workdir={folder}-run', f'--data={folder}')


def test_a_workdir_that_is_a_file_is_refused(parse, folder):
  with pytest.raises(flags.Error, match='workdir'):
    parse(f'--workdir={folder / "0.png"}')
