"""The demo's competition.toml: what its organisers fixed, and recipes that train in seconds."""

from competition.data.demo_hand import CLASSES

FIXED = """\
# Generated X-rays of hands: nothing here is a real person's.
name = "{name}"
classes = [
{classes}]
# A left hand is a mirrored right one, and no class says which side it is of.
horizontal_flip = "allowed"

[data]
root = "."
train_images = "train/DCM/*/*.png"
test_images = "test/DCM/*/*.png"
group = "folder"  # a folder is a person

[labels]
kind = "polygons"
files = "train/outputs_json/{{folder}}/{{stem}}.json"

[submission]
sample = "sample_submission.csv"
image = "image_name"
label = "class"
rle = "rle"
rows = "image-class"
order = "rows"
public = 0.3

[metric]
name = "dice"
eps = 1e-4

[split]
folds = 2
"""

CHOSEN = """
[ensemble]
recipes = ["demo-unet", "demo-unet-resnet18"]

[recipes.demo-unet]
base = "unet-cpu"
about = "U-Net of 16 channels"
batch = 2
optimizer = {{ learning_rate = 6e-3 }}
schedule = {{ iterations = {iterations} }}
validate_every = {iterations}
size = [64, 64]

[recipes.demo-unet-resnet18]
base = "unet-resnet18-cpu"
about = "ResNet18 encoder, light decoder, all skips"
network = {{ skips = ["e3", "e2", "e1", "e0"], stride = 2 }}
loss_at = "logits"
batch = 4
optimizer = {{ learning_rate = 4e-3 }}
schedule = {{ iterations = {half} }}
validate_every = {half}
size = [64, 64]
"""


def competition_file(name: str, *, examples: int) -> str:
    """Text of a demo's competition.toml; its recipes train on so many examples, at 64 × 64."""
    classes = "".join(f'    "{label}",\n' for label in CLASSES)
    fixed = FIXED.format(name=name, classes=classes)
    return fixed + CHOSEN.format(iterations=examples // 2, half=examples // 4)
