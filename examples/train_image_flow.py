"""Trains an image flow from the closed-form optimum on, and exports it.

Without `--data` it trains on random crops of the two photographs that
scikit-learn ships. Start an interrupted run again, and it resumes where it
stopped; its flags are kept in its directory.

  python examples/train_image_flow.py --workdir=/tmp/flow
  python examples/train_image_flow.py --workdir=/tmp/flow --mode=sample
"""

import math
import pathlib
import shutil

from absl import flags
import config_flags
import image_flow_data
import image_flow_flags
import image_flow_pictures
import numpy as np
import onednn  # noqa: F401
import programs
import tensorflow as tf

import tfp_flowopt as fo
from tfp_flowopt.internal import atomic_files
from tfp_flowopt.training import replicas
from tfp_flowopt.training import restoring

FLAGS = flags.FLAGS
# `--help` shows the flags of this module and its key flags.
flags.adopt_module_key_flags(image_flow_flags)


def _strategy():
  """The strategy of the flags; before all that TensorFlow computes."""
  if FLAGS.cpu_devices is not None:
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices('CPU')[0],
        [tf.config.LogicalDeviceConfiguration()] * FLAGS.cpu_devices,
    )
  if FLAGS.strategy == 'multi_worker':
    return tf.distribute.MultiWorkerMirroredStrategy()
  if FLAGS.strategy == 'mirrored':
    cpus = [f'CPU:{i}' for i in range(FLAGS.cpu_devices or 0)]
    return tf.distribute.MirroredStrategy(cpus or None)
  return tf.distribute.get_strategy()


def _make_trainer(strategy, train_images, held_out_images):
  """The flow and its trainer."""
  size = math.prod(train_images.event_shape)
  given = config_flags.settings(image_flow_flags.TRAINING)
  # Large images are fewer: they have more pixels to learn from.
  for name, most, numbers in (
      ('eval_images', 1024, 2**27),
      ('init_images', 4096, 2**28),
  ):
    given[name] = given[name] or max(2, min(most, numbers // size))
  config = fo.training.TrainConfig(**given)
  classes = train_images.class_names if FLAGS.labels is not None else None
  with strategy.scope():
    distribution = _make_flow(train_images.event_shape, classes)
    trainer = fo.training.Trainer(
        distribution,
        train_images,
        held_out_images,
        FLAGS.workdir,
        config,
        profile_steps=FLAGS.profile,
    )
  return distribution, trainer


def _make_flow(event_shape, classes):
  return fo.image_flow(
      event_shape,
      lipschitz_budget=FLAGS.lipschitz_budget or None,
      conditioning=classes and len(classes),
      compute_dtype=FLAGS.compute_dtype,
      seed=FLAGS.seed,
      **config_flags.settings(image_flow_flags.MODEL),
  )


def _train(distribution, trainer, say):
  """Trains, exports, and says what came of it."""
  workdir = pathlib.Path(FLAGS.workdir)
  complete = trainer.results is not None
  model_path = workdir / 'saved_model' / str(FLAGS.train_steps)
  # Of all that is written, `config.json` and the export included.
  with trainer.lock():
    if trainer.is_chief:
      # Again: the trainer has accepted what may have changed.
      image_flow_flags.save(workdir)
      image_flow_data.keep_scans(workdir)
      if not complete:
        # What will be written anew; of another run that was here, everything.
        stale = model_path if trainer.step else model_path.parent
        shutil.rmtree(stale, ignore_errors=True)
    if complete:
      say(
          f'The run in {workdir} is complete, {trainer.step} steps. Delete '
          'summary.json to have its report and pictures made again.'
      )
    elif trainer.step:
      say(f'Resumed at step {trainer.step}.')
    else:
      say(f'Initialised at the optimum: {_at_start(trainer.start)}.')
    summary = trainer.train()
    trainer.use_averaged_weights()
    if trainer.is_chief:
      _export(distribution, model_path, trainer.dequantization)
      _print_results(summary, workdir, model_path)
      if not complete:
        _print_constants(distribution.bijector)


def _at_start(values):
  if values['predicted'] is None:
    return 'no record is left'
  return (
      f'predicted {values["predicted"]:.3f} bits/dim, measured '
      f'{values["measured"]:.3f}'
  )


def _export(distribution, path, dequantization):
  if not path.exists():
    path.parent.mkdir(parents=True, exist_ok=True)
    with fo.training.under_way('Writing the SavedModel'):
      fo.export.save(
          distribution, path, bits=FLAGS.bits, dequantization=dequantization
      )


def _output(name):
  return pathlib.Path(FLAGS.output or pathlib.Path(FLAGS.workdir) / name)


def _classes(workdir):
  """Names of the classes of a run, without its data."""
  if FLAGS.labels is None:
    return None
  settings = restoring.settings_of_run(workdir)
  if settings is None:
    raise SystemExit(
        f'{workdir / "start.json"}, which names the classes, is lost. '
        '--mode=train writes it again.'
    )
  return settings['held_out_images.class_names']


def _without_data(strategy, workdir):
  """The modes that need the weights of a run and nothing else."""
  classes = _classes(workdir)
  if FLAGS.label is not None and FLAGS.label >= len(classes):
    names = ', '.join(classes)
    raise SystemExit(f'--label={FLAGS.label} is none of the classes: {names}')
  side = FLAGS.image_size
  with strategy.scope(), fo.training.under_way('Loading the run'):
    shape, dequantization = [side, side, int(FLAGS.channels)], None
    distribution = _make_flow(shape, classes)
    if FLAGS.dequantization == 'variational':
      dequantization = fo.flows.VariationalDequantization(shape, FLAGS.bits)
    step = fo.training.restore(
        distribution, workdir, FLAGS.checkpoint, dequantization
    )
  print(f'The run in {workdir}, after {step} steps')
  if FLAGS.mode == 'export':
    path = _output(f'saved_model/{step}')
    if path.exists():
      raise SystemExit(f'{path} exists already; give another --output.')
    _export(distribution, path, dequantization)
  else:
    path = _output('more_samples.png')
    with fo.training.under_way('Drawing samples'):
      image_flow_pictures.draw_samples(
          distribution,
          path,
          FLAGS.num_images or 16,
          FLAGS.temperature,
          FLAGS.bits,
          FLAGS.seed,
          FLAGS.label,
      )
  print(f'Written: {path}')


def _look_at(distribution, trainer, held_out_images):
  """What the modes do that look at data, too, in the chief."""
  if FLAGS.checkpoint == 'best':
    trainer.restore_best()
  print(f'The run in {FLAGS.workdir}, after {trainer.step} steps')
  if FLAGS.mode == 'evaluate':
    num_images = FLAGS.num_images or _count(held_out_images)
    with fo.training.under_way(f'Evaluating {num_images} images'):
      draws, together = trainer.evaluate_dequantization(
          num_images, FLAGS.eval_draws
      )
    _print_draws(num_images, *np.transpose(draws))
    if len(draws) > 1:
      print(
          f'Importance-weighted over the draws, a tighter bound: '
          f'{together[0]:.4f} bits/dim +- {together[1]:.4f}'
      )
    return
  if FLAGS.mode == 'report':
    with fo.training.under_way('Comparing with linear flows'):
      text = str(trainer.report())
    print(text)
    with fo.training.under_way('Comparing samples with images'):
      samples = trainer.sample_report()
    if samples is not None:
      text += f'\n\n{samples}'
      print(f'\n{samples}')
    with atomic_files.atomic_path(_output('more_report.txt')) as path:
      path.write_text(text + '\n', encoding='utf-8')
    trainer.use_averaged_weights()
    _print_constants(distribution.bijector)
    return
  trainer.use_averaged_weights()
  path = _output('interpolation.png')
  examples = held_out_images.examples(8, tf.constant([FLAGS.seed, -4]))
  with fo.training.under_way('Drawing the interpolation'):
    image_flow_pictures.draw_interpolation(
        distribution, path, examples.batch(8).get_single_element(), FLAGS.bits
    )
  print(f'Written: {path}')


def _print_draws(num_images, means, errors):
  """What was evaluated, and how far off it may be for which reason."""
  reasons = []
  if np.isfinite(errors).all():  # of a single image there is none
    reasons.append(f'{np.mean(errors):.1g} (other images)')
  if len(means) > 1:
    error = np.std(means, ddof=1) / math.sqrt(len(means))
    reasons.append(f'{error:.1g} (other noise)')
  print(
      f'{num_images} held-out images, {len(means)} draws of noise: '
      f'{np.mean(means):.4f} bits/dim'
      + (f'; standard error {" and ".join(reasons)}' if reasons else '')
  )


def _count(images):
  """All images of a data set; of crops, of which there is no end, some."""
  return len(images) if hasattr(images, '__len__') else 1024


def _print_results(summary, workdir, model_path):
  """The numbers and the paths, as a table."""
  error = summary['report']['standard_error_bits_per_dim']
  noise = ', by learned noise' if FLAGS.dequantization != 'uniform' else ''
  print(
      f'\nAfter {summary["steps"]} steps: held-out images '
      f'{summary["held_out_bits_per_dim"]:.3f} bits/dim'
      + ('' if error is None else f' +- {error:.3f}')
      + f'{noise}\nAt step 0: {_at_start(summary)} (training images)\n'
  )
  print((workdir / 'report.txt').read_text(encoding='utf-8'), end='')
  if summary['skipped_steps']:
    print(f'Skipped steps (not finite): {summary["skipped_steps"]}')
  print()
  for name, path in (
      ('curve', workdir / 'curve.png'),
      ('samples', workdir / 'samples.png'),
      ('nearest', workdir / 'nearest.png'),
      ('log', workdir / 'training_log.csv'),
      ('report', workdir / 'report.txt'),
      ('SavedModel', pathlib.Path(model_path)),
  ):
    if path.exists():
      print(f'  {name:<11}{path}')


def _print_constants(flow):
  """The certified constants of the trained flow, as logarithms."""
  with fo.training.under_way('Certifying'):
    linear, nonlinear = flow.bounds_by_part()
    whole = fo.lipschitz.lipschitz_bounds(flow)
  print('\nCertified Lipschitz constants, logarithms:')
  for name, bounds in (
      ('non-linear part', nonlinear),
      ('linear part', linear),
      ('whole flow', whole),
  ):
    print(
        f'  {name:<16} to images {math.log(bounds.forward):6.2f}, '
        f'to latents {math.log(bounds.inverse):6.2f}'
    )


def _checkpoints(workdir):
  return list(workdir.glob('checkpoints/*.index'))


def main(argv):
  """Does what --mode says."""
  del argv
  workdir = pathlib.Path(FLAGS.workdir)
  training = FLAGS.mode == 'train'
  if not training and not _checkpoints(workdir):
    raise SystemExit(
        f'--mode={FLAGS.mode} needs a run, and there is none in {workdir}.'
    )
  if not training and FLAGS.strategy == 'multi_worker':
    raise SystemExit(f'--mode={FLAGS.mode} is for one process.')
  strategy = _strategy()
  is_chief = replicas.Replicas(strategy).is_chief
  say = print if is_chief else lambda text: None
  if FLAGS.deterministic:
    # Bit for bit the same numbers at every run, also after a crash.
    tf.config.experimental.enable_op_determinism()
  if FLAGS.mode in ('sample', 'export'):
    try:
      return _without_data(strategy, workdir)
    except ValueError as e:
      raise SystemExit(str(e)) from e
  with strategy.scope():
    train_images, held_out_images = image_flow_data.load(say)
  if is_chief and training and not _checkpoints(workdir):
    # Before there is one to go on from.
    image_flow_flags.save(workdir)
    image_flow_data.keep_scans(workdir)
  try:
    try:
      distribution, trainer = _make_trainer(
          strategy, train_images, held_out_images
      )
      trainer.start_or_resume()
    except ValueError as e:
      raise SystemExit(str(e)) from e
    if training:
      _train(distribution, trainer, say)
    else:
      _look_at(distribution, trainer, held_out_images)
  except fo.training.TrainingInterrupted as e:
    say(e)
  except (
      fo.training.DivergedError,
      fo.training.WorkdirError,
      fo.training.WorkerLostError,
  ) as e:
    raise SystemExit(str(e)) from e


if __name__ == '__main__':
  programs.run(main, image_flow_flags.parse)
