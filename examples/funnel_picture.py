"""The picture of `preconditioned_hmc.py`."""

import numpy as np

__all__ = ['NUM_SHOWN', 'plot_chains']

# Standard deviation of v.
_SCALE = 3.0
# Draws in a panel.
NUM_SHOWN = 3000
# Colours.
_EXACT = '#b0b0b0'
_COLOURS = ('#f2a541', '#4c78a8', '#e45756')


def plot_chains(path, exact, names, chains):
  """Draws in the plane of v and x_1, marginals of v, and latents.

  Args:
    path: Of the PNG file.
    exact: `[N, 10]`, exact draws.
    names: Of the preconditioners.
    chains: What `sample_chains` returned for each.
  """
  from matplotlib.figure import Figure

  figure = Figure(figsize=(10.0, 6.4), layout='constrained', dpi=100)
  panels = figure.subplots(2, len(names))
  style = {'markersize': 2.0, 'markeredgewidth': 0}
  rng = np.random.default_rng(0)
  marginal = panels[1, 0]
  v = np.linspace(-12.0, 12.0, 200)
  density = np.exp(-0.5 * (v / _SCALE) ** 2) / (_SCALE * np.sqrt(2.0 * np.pi))
  marginal.plot(v, density, color='#222222', linewidth=1.2, label='the truth')
  for i, (name, color, run) in enumerate(
      zip(names, _COLOURS, chains, strict=True)
  ):
    flat = run['states'].reshape(-1, exact.shape[1])
    shown = rng.choice(len(flat), min(NUM_SHOWN, len(flat)), replace=False)
    axes = panels[0, i]
    axes.plot(exact[:, 1], exact[:, 0], '.', color=_EXACT, **style)
    axes.plot(flat[shown, 1], flat[shown, 0], '.', color=color, **style)
    axes.set(xlim=(-20.0, 20.0), ylim=(-11.0, 11.0), xlabel='x1')
    axes.set_title(f'preconditioner: {name}', fontsize=9.5)
    marginal.hist(
        flat[:, 0], np.linspace(-12.0, 12.0, 49), density=True,
        histtype='step', color=color, label=name, linewidth=1.2,
    )
    if i:
      latents = run['latents'].reshape(-1, exact.shape[1])[shown]
      axes = panels[1, i]
      points = axes.scatter(
          latents[:, 1],
          latents[:, 0],
          c=flat[shown, 0],
          s=3.0,
          linewidths=0,
          cmap='viridis',
          vmin=-9.0,
          vmax=9.0,
      )
      axes.set(xlabel='latent of x1', ylabel='latent of v')
      axes.set_title(f'{name}: what the sampler sees', fontsize=9.5)
  figure.colorbar(points, ax=panels[1, -1], label='v')
  marginal.set(xlabel='v', yticks=[])
  marginal.set_title('v of all draws', fontsize=9.5)
  marginal.legend(frameon=False, fontsize=8)
  panels[0, 0].set_ylabel('v')
  for axes in panels.flat:
    axes.spines[['top', 'right']].set_visible(False)
    axes.tick_params(labelsize=8)
  figure.savefig(path)
