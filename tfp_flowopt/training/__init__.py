"""Training on images."""

from tfp_flowopt.training.config import TrainConfig
from tfp_flowopt.training.image_crops import ImageCrops
from tfp_flowopt.training.image_crops import load_images
from tfp_flowopt.training.image_crops import split_columns
from tfp_flowopt.training.run_settings import OtherRunError
from tfp_flowopt.training.trainer import Trainer

__all__ = [
    'ImageCrops',
    'OtherRunError',
    'TrainConfig',
    'Trainer',
    'load_images',
    'split_columns',
]
