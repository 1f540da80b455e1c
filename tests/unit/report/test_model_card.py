"""The card of a model: every number in it is one that was handed over, and only this model's."""

import dataclasses

from small_report import HOSTILE, small_report

from robust_iqa_jax.report.model_card import Accuracy, Probe, model_card
from robust_iqa_jax.report.types import AttackKind

REPORT = small_report()
FINDING = {"suspicious": True, "value": 0.6, "limit": 0.5, "meaning": "share of zeros", "source": "x"}
FURTHER = dataclasses.replace(
    REPORT, models={name: {**m, "masking": {"dead gradients": FINDING}} for name, m in REPORT.models.items()}
)


def card(further=()):
    accuracies = [Accuracy("photos of others", 12, 0.8125, 0.75, 0.5, 0.9)]
    return model_card(
        "base", ["What it is for."], accuracies, [Probe("black", 24.56)], REPORT, {"alone": 0.0271}, further
    )


def lines_of(text, heading):
    """Cells of the table under a heading."""
    part = text.split(f"## {heading}", 1)[1].split("\n## ", 1)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("|")]
    return rows[2:]


def test_it_says_what_it_was_told():
    text = card()
    assert text.startswith("# base\n\nWhat it is for.\n")
    assert lines_of(text, "Agreement with people") == [["photos of others", "12", "0.812", "0.500", "0.900", "0.750"]]
    assert lines_of(text, "Unusual pictures") == [["black", "24.6"]]
    assert lines_of(text, "Cost of a photo") == [["alone", "0.027"]]
    assert "more attacks" not in text


def test_gains_are_this_models_and_all_of_them():
    rows = [row for row in REPORT.rows if row["model"] == "base"]
    found = lines_of(card(), "Gain under attack")
    assert [line[:2] for line in found] == [["base", row["attack"]] for row in rows]
    assert [float(line[4]) for line in found] == [round(row["abs_gain"], 4) for row in rows]
    assert any(row["model"] == HOSTILE for row in REPORT.rows)


def test_further_attacks_and_checks_stand_below():
    text = card([FURTHER])
    photos = max(row["n"] for row in REPORT.rows)
    assert len(lines_of(text, f"Under more attacks, {photos} photos")) == len(lines_of(text, "Gain under attack"))
    (line,) = lines_of(text, "Signs of masked gradients")
    assert line[:3] == ["base", "dead gradients", "yes"]
    assert "masked gradients" not in card([REPORT])  # attacks without checks


def test_attacks_made_on_another_model_stand_beside_the_same_on_itself():
    row = next(row for row in REPORT.rows if row["model"] == "base")
    name = f"{row['attack']}-from-twin"
    carried = {**row, "attack": name, "abs_gain": 0.625}
    kinds = {**REPORT.attacks, name: AttackKind("PGD", True, blind=row["attack"], source="twin")}
    text = card([dataclasses.replace(REPORT, rows=[row, carried], attacks=kinds)])
    ((source, model, attack, _, other, itself, *_),) = lines_of(text, "Attacks made on another model")
    assert (source, model, attack) == ("twin", "base", row["attack"])
    assert (float(other), float(itself)) == (0.625, round(row["abs_gain"], 4))
    assert "Under more attacks" not in text  # the attack on itself is no further one
