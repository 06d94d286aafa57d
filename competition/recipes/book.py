"""The built-in recipes in full size, each derived from another, by family.

docs/models.md says which row of which source each one is of.
"""

from typing import Any

from competition.recipes.derive import derive
from competition.recipes.networks import Beit, DeepLabV3, Dpt, Fcn, NetworkSettings, Smp, UNet
from competition.recipes.recipe import Recipe

ALL_SKIPS = ("e3", "e2", "e1", "e0")
BCE = ({"name": "bce"},)
DICE = ({"name": "dice"},)

_UNET_RESNET18 = Recipe(
    name="unet-resnet18", about="ResNet18 encoder, light U-Net decoder: small and fast"
)

_RESOLUTIONS = [
    derive(
        _UNET_RESNET18,
        {
            "name": f"unet-resnet18-{side}",
            "about": f"ResNet18 encoder, light U-Net decoder at {side}²",
            "size": [side, side],
        },
    )
    for side in (256, 384, 1024)
]


def _recipe(name: str, about: str, network: NetworkSettings, **changes: Any) -> Recipe:
    """A recipe on another network, at the learning rate that published weights bear."""
    changed = {"name": name, "about": about, "network": network.model_dump(), **changes}
    return derive(_UNET_RESNET18, {"optimizer": {"learning_rate": 3e-4}, **changed})


def _variant(base: Recipe, ending: str, about: str, **changes: Any) -> Recipe:
    return derive(
        base, {"name": f"{base.name}-{ending}", "about": f"{base.about}, {about}", **changes}
    )


def _on(base: Recipe, /, **options: Any) -> dict[str, Any]:
    """Options of the base's own network."""
    return {"network": {"kind": base.network.kind, **options}}


_FCN = _recipe("fcn-resnet50", "FCN on ResNet50", Fcn())
_LOSSES = {
    "bce": ("BCE alone", BCE),
    "dice": ("Dice alone", DICE),
    "bce-dice": ("half BCE, half Dice", [*({**t, "weight": 0.5} for t in (*BCE, *DICE))]),
    "tversky": ("Tversky, misses weigh more", [{"name": "tversky"}]),
    "focal": ("focal", [{"name": "focal"}]),
    "jaccard": ("Jaccard", [{"name": "jaccard"}]),
    "focal-dice": (
        "half focal, half Dice",
        [{"name": "focal", "weight": 0.5}, {"name": "dice", "weight": 0.5}],
    ),
    "focal-tversky": ("focal Tversky", [{"name": "focal-tversky"}]),
    "bce-jaccard": (
        "half BCE, half Jaccard",
        [{"name": "bce", "weight": 0.5}, {"name": "jaccard", "weight": 0.5}],
    ),
    "boundary": ("Dice and a little boundary", [*DICE, {"name": "boundary", "weight": 0.01}]),
    "metric": ("the competition's own score, and BCE", [{"name": "metric"}, *BCE]),
}
_FCN_FAMILY = [
    _FCN,
    *(_variant(_FCN, ending, about, loss=terms) for ending, (about, terms) in _LOSSES.items()),
    _variant(_FCN, "aux", "an auxiliary head at .4", loss=BCE, **_on(_FCN, auxiliary=0.4)),
    _variant(_FCN, "presence", "a class-presence head", **_on(_FCN, presence=0.1)),
    _variant(_FCN, "down", "a learnt down convolution first", **_on(_FCN, down="convolution")),
    _variant(_FCN, "up", "a learnt up convolution last", **_on(_FCN, up="convolution")),
    _variant(_FCN, "down-up", "both learnt", **_on(_FCN, down="convolution", up="convolution")),
    _variant(_FCN, "shuffle", "pixel shuffles", **_on(_FCN, down="unshuffle", up="shuffle")),
]

_DEEPLAB = _recipe("deeplabv3", "DeepLabv3 on ResNet101", DeepLabV3(), loss=BCE)
_DEEPLAB_FAMILY = [
    _DEEPLAB,
    *(
        _variant(
            _DEEPLAB, ending, f"an auxiliary head at {alpha}", **_on(_DEEPLAB, auxiliary=alpha)
        )
        for ending, alpha in (("aux", 0.4), ("aux-0.1", 0.1), ("aux-0.7", 0.7))
    ),
]

_PLUS = _recipe("deeplabv3plus", "DeepLabv3+ on ResNet101", Smp(encoder="resnet101"))
_PLUS_DICE = _variant(
    _PLUS,
    "dice",
    "Dice alone at 1024²",
    loss=DICE,
    batch=4,
    size=(1024, 1024),
    schedule={"iterations": 25_000},
    **_on(_PLUS, gradient_checkpointing=True),
)
_PLUS_GROUP, _PLUS_INSTANCE, _PLUS_SYNC = (
    derive(
        _PLUS_DICE,
        {
            "name": f"{_PLUS.name}-{ending}",
            "about": f"{_PLUS.about}, {about}",
            **_on(_PLUS, **norm),
        },
    )
    for ending, about, norm in (
        ("gn", "GroupNorm", {"norm": "group", "groups": 32}),
        ("in", "InstanceNorm", {"norm": "instance"}),
        ("sync", "SyncBatchNorm", {"norm": "sync"}),
    )
)
_PLUS_SCHEDULES = [
    _variant(_PLUS_GROUP, f"{k}k", f"{k}k iterations", schedule={"iterations": k * 1000})
    for k in (12, 37, 50)
]
_PLUS_1X1 = _variant(_PLUS_GROUP, "1x1", "a 1x1 head", **_on(_PLUS_GROUP, head="1x1"))
_PLUS_UP = _variant(
    _PLUS_GROUP, "up", "a learnt up convolution", **_on(_PLUS_GROUP, up="convolution")
)
_PLUS_FAMILY = [
    _PLUS,
    _PLUS_DICE,
    _PLUS_GROUP,
    _PLUS_INSTANCE,
    _PLUS_SYNC,
    *_PLUS_SCHEDULES,
    _recipe("deeplabv3plus-resnet50", "DeepLabv3+ on ResNet50", Smp(encoder="resnet50")),
    *(
        _variant(_PLUS_GROUP, head, f"a {head} head", **_on(_PLUS_GROUP, head=head))
        for head in ("3x3", "attention")
    ),
    _PLUS_1X1,
    *(
        _variant(_PLUS_1X1, f"{k}k", f"{k}k iterations", schedule={"iterations": k * 1000})
        for k in (12, 13)
    ),
    _PLUS_UP,
    _variant(_PLUS_UP, "6k", "6k iterations", schedule={"iterations": 6000}),
]

_SEGFORMER = _recipe("segformer", "SegFormer MiT-b1", Smp(decoder="Segformer", encoder="mit_b1"))
_SEGFORMER_FAMILY = [
    _SEGFORMER,
    _variant(_SEGFORMER, "1x1", "a 1x1 head", **_on(_SEGFORMER, head="1x1")),
    _variant(
        _SEGFORMER, "down", "a learnt down convolution", **_on(_SEGFORMER, down="convolution")
    ),
    _variant(_SEGFORMER, "up", "a learnt up convolution", **_on(_SEGFORMER, up="convolution")),
    _variant(
        _SEGFORMER,
        "down-up",
        "learnt down and up convolutions",
        **_on(_SEGFORMER, down="convolution", up="convolution"),
    ),
    _variant(
        _SEGFORMER, "shuffle", "pixel shuffles", **_on(_SEGFORMER, down="unshuffle", up="shuffle")
    ),
]

_BEIT = _recipe(
    "beit-large",
    "BEiT-Large with UPerNet",
    Beit(gradient_checkpointing=True),
    optimizer={"learning_rate": 3e-5, "weight_decay": 0.05},
    schedule={"iterations": 25_000},
    batch=4,
    accumulate=2,
)
_DPT = _recipe(
    "beit-large-dpt",
    "BEiT-Large with DPT",
    Dpt(gradient_checkpointing=True),
    optimizer={"learning_rate": 3e-5, "weight_decay": 0.05},
    size=(384, 384),
    batch=4,
)

_UNET = _recipe("unet", "U-Net", UNet(), pretrained=False, optimizer={"learning_rate": 1e-3})
_RESUNET = _recipe(
    "resunet",
    "ResUNet",
    UNet(block="residual"),
    pretrained=False,
    optimizer={"learning_rate": 1e-3},
)
_UNET_FAMILY = [
    _UNET,
    _variant(_UNET, "gn", "GroupNorm", **_on(_UNET, norm="group")),
    _variant(_UNET, "in", "InstanceNorm", **_on(_UNET, norm="instance")),
    _variant(_UNET, "bilinear", "bilinear up-sampling", **_on(_UNET, up_sampling="bilinear")),
    _variant(_UNET, "deep", "deep supervision", **_on(_UNET, auxiliary=0.4)),
    _RESUNET,
    _variant(_RESUNET, "32", "32 base channels", **_on(_RESUNET, base=32)),
    _variant(_RESUNET, "preactivation", "pre-activation", **_on(_RESUNET, block="preactivation")),
    _recipe("unetplusplus", "U-Net++ on ResNet34", Smp(decoder="UnetPlusPlus", encoder="resnet34")),
    _recipe("upernet", "UPerNet on ConvNeXt", Smp(decoder="UPerNet", encoder="tu-convnext_tiny")),
]

_LIGHT = derive(
    _UNET_RESNET18,
    {
        "name": "light-unet",
        "about": "ResNet18-UNet at 224²",
        "size": [224, 224],
        "loss": DICE,
        "schedule": {"epochs": 15, "warmup": 0.0},
    },
)
_LIGHT_ROWS = {
    "plain": ("one max pool, wide decoder", "plain", (256, 128, 64, 64)),
    "mam": ("pools MAM", "MAM", (180, 90, 45, 45)),
    "maa": ("pools MAA", "MAA", (180, 90, 45, 45)),
    "aam": ("pools AAM", "AAM", (180, 90, 45, 45)),
    "narrow": ("pools MAA, narrow decoder", "MAA", (128, 64, 32, 32)),
}
_MIX = [{"name": "bce", "weight": 0.4}, {"name": "dice", "weight": 0.4}]
_LIGHT_FAMILY = [
    _LIGHT,
    *(
        _variant(
            _LIGHT, ending, about, **_on(_LIGHT, pools=pools, decoder=decoder, skips=ALL_SKIPS)
        )
        for ending, (about, pools, decoder) in _LIGHT_ROWS.items()
    ),
    _variant(_LIGHT, "add", "skips added, not concatenated", **_on(_LIGHT, merge="add")),
    _variant(
        _LIGHT, "mix", ".4 BCE, .4 Dice, .2 focal", loss=[*_MIX, {"name": "focal", "weight": 0.2}]
    ),
]

_SCENARIOS = [
    _variant(
        _UNET_RESNET18, "presence", "a class-presence head", **_on(_UNET_RESNET18, presence=0.1)
    ),
    _recipe(
        "medical",
        "few images, small structures: U-Net++ on ResNet34, Dice and BCE",
        Smp(decoder="UnetPlusPlus", encoder="resnet34", norm="group"),
    ),
    _recipe(
        "aerial",
        "large scenes, many scales: DeepLabv3+ on ResNet50 by crops, focal and Dice",
        Smp(encoder="resnet50"),
        loss=_LOSSES["focal-dice"][1],
        size=(1024, 1024),
        sampling={"crop": (512, 512), "centred": 0.33},
        augmentation={"rotate": 45.0, "scale": 0.25},
    ),
    _recipe(
        "sparse-positives",
        "most masks empty: FPN, focal and Dice with BCE where there is no mask, presence head, "
        "images with a mask more often at first",
        Smp(decoder="FPN", encoder="resnet34", presence=0.2),
        sampling={"positives": (0.8, 0.4)},
        loss=[{"name": "focal", "weight": 0.5}, {"name": "dice", "weight": 0.5, "empty": "bce"}],
    ),
    _recipe(
        "costly-misses",
        "a miss costs more than a false alarm: U-Net, focal Tversky and BCE",
        Smp(decoder="Unet", encoder="resnet34"),
        loss=[{"name": "focal-tversky"}, {"name": "bce", "weight": 0.5}],
    ),
    _recipe(
        "many-classes",
        "tens of classes of unlike area: DeepLabv3+, classes weighed by rarity",
        Smp(encoder="resnet50"),
        loss=[{"name": "bce", "class_weights": "inverse-root"}, *DICE],
    ),
    _recipe(
        "speed",
        "few operations and little memory: FPN on MobileNetV3",
        Smp(decoder="FPN", encoder="tu-mobilenetv3_large_100"),
    ),
]

FULL: list[Recipe] = [
    _UNET_RESNET18,
    *_RESOLUTIONS,
    *_FCN_FAMILY,
    *_DEEPLAB_FAMILY,
    *_PLUS_FAMILY,
    *_SEGFORMER_FAMILY,
    _BEIT,
    _DPT,
    *_UNET_FAMILY,
    *_LIGHT_FAMILY,
    *_SCENARIOS,
]
