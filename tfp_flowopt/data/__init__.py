"""Images out of files and arrays, in an order that no restart changes."""

from tfp_flowopt.data.convert import OtherConversionError
from tfp_flowopt.data.convert import convert_images
from tfp_flowopt.data.dataset_examples import DatasetExamples
from tfp_flowopt.data.examples import Examples
from tfp_flowopt.data.image_crops import ImageCrops
from tfp_flowopt.data.image_crops import split_columns
from tfp_flowopt.data.image_dataset import ImageDataset
from tfp_flowopt.data.quantization import dequantization_noise
from tfp_flowopt.data.quantization import dequantize
from tfp_flowopt.data.quantization import quantize
from tfp_flowopt.data.sources.arrays import read_array
from tfp_flowopt.data.sources.base import ImageStore
from tfp_flowopt.data.sources.open_source import ImageSource
from tfp_flowopt.data.sources.open_source import load_images
from tfp_flowopt.data.sources.open_source import open_images
from tfp_flowopt.data.tiles import image_tiles

__all__ = [
    'DatasetExamples',
    'Examples',
    'ImageCrops',
    'ImageDataset',
    'ImageSource',
    'ImageStore',
    'OtherConversionError',
    'convert_images',
    'dequantization_noise',
    'dequantize',
    'image_tiles',
    'load_images',
    'open_images',
    'quantize',
    'read_array',
    'split_columns',
]
