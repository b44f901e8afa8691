"""The networks, by the name a recipe gives them. Any other `torch.nn.Module` works by its dotted
name."""

from typing import TYPE_CHECKING

from weakseg.utils.late_imports import lazily

if TYPE_CHECKING:
    from weakseg.networks.deeplab import DeepLabV3 as DeepLabV3
    from weakseg.networks.deeplab import DeepLabV3Plus as DeepLabV3Plus
    from weakseg.networks.deeplab_cascade import DeepLabV3Cascade as DeepLabV3Cascade
    from weakseg.networks.deeplab_v1 import DeepLabV1 as DeepLabV1
    from weakseg.networks.deeplab_v2 import DeepLabV2 as DeepLabV2
    from weakseg.networks.dilated_context import DilatedContext as DilatedContext
    from weakseg.networks.dpt import DPT as DPT
    from weakseg.networks.fcn import FCN8s as FCN8s
    from weakseg.networks.fcn import FCN16s as FCN16s
    from weakseg.networks.fcn import FCN32s as FCN32s
    from weakseg.networks.maskrcnn import MaskRCNN as MaskRCNN
    from weakseg.networks.pspnet import PSPNet as PSPNet
    from weakseg.networks.refinenet import RefineNet as RefineNet
    from weakseg.networks.segnet import SegNet as SegNet
    from weakseg.networks.unet import UNet as UNet

NAMES = {
    "deeplabv1": "weakseg.networks.deeplab_v1.DeepLabV1",
    "deeplabv2": "weakseg.networks.deeplab_v2.DeepLabV2",
    "dilated_context": "weakseg.networks.dilated_context.DilatedContext",
    "fcn32s": "weakseg.networks.fcn.FCN32s",
    "fcn16s": "weakseg.networks.fcn.FCN16s",
    "fcn8s": "weakseg.networks.fcn.FCN8s",
    "segnet": "weakseg.networks.segnet.SegNet",
    "deeplabv3": "weakseg.networks.deeplab.DeepLabV3",
    "deeplabv3plus": "weakseg.networks.deeplab.DeepLabV3Plus",
    "deeplabv3_cascade": "weakseg.networks.deeplab_cascade.DeepLabV3Cascade",
    "pspnet": "weakseg.networks.pspnet.PSPNet",
    "refinenet": "weakseg.networks.refinenet.RefineNet",
    "unet": "weakseg.networks.unet.UNet",
    "dpt": "weakseg.networks.dpt.DPT",
    "maskrcnn": "weakseg.networks.maskrcnn.MaskRCNN",
}

__getattr__ = lazily(__name__, NAMES.values())
