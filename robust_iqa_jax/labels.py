"""What scores are on the scale of: people's opinions, or a formula, which is to be said wherever a score is shown.
Source: this project."""

COLUMNS = ("image_column", "score_column", "group_column", "image_dir")
"""What can be said of a label table: fields of configurations, options of commands, arguments of open_photos."""

PSEUDO_MOS = "pseudo_mos"
"""Label of scores that a formula gives (data.distorted_photos), and of models that are trained on them."""


def label_note(label: str) -> str | None:
    """A sentence to stand before scores of this label; None where people gave the labels.

    Args:
      label: of a Scorer, a PhotoSet, or a report's model.
    """
    if label != PSEUDO_MOS:
        return None
    return (
        "Labels by a formula, not people (pseudo_mos): these scores show that everything works, not how good people "
        "find a photo."
    )
