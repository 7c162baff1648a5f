"""The data behind the weights is declared for every model, and nothing is missing."""

import pytest

from streamdenoise.cli.licenses import licenses_markdown, provenance
from streamdenoise.inference.artifact import open_artifact, shipped_models
from tests.support.command import run


def test_every_model_declares_its_data() -> None:
    assert sorted(provenance()) == shipped_models()


@pytest.mark.parametrize("model", shipped_models())
def test_the_declared_data_is_that_of_the_manifest(model: str) -> None:
    clips, stills = provenance()[model].trained_on()
    assert open_artifact(model).manifest["data"] == f"{clips} clips, {stills} stills"


def test_uses_are_of_four_kinds() -> None:
    kinds = {"any", "non-commercial", "research", "unclear"}
    for declared in provenance().values():
        assert {each.use for each in declared.sets} == kinds
        assert all(each.license for each in declared.sets)


def test_licenses_are_listed_by_model_with_what_is_for_research() -> None:
    text = run("models", "--licenses").stdout
    heading, verdict, table = text.split("\n\n")
    assert heading == ", ".join(shipped_models()) + ":"
    clips, stills = provenance()["nano"].trained_on("research", "non-commercial")
    words = " ".join(verdict.split())
    assert f"{clips} of the 65 clips and {stills} of the 537 stills" in words
    (bsds,) = [row for row in table.splitlines() if row.startswith("BSDS500")]
    assert bsds.endswith("research")
    (davis,) = [row for row in table.splitlines() if row.startswith("DAVIS  ")]
    assert "CC BY-NC 4.0" in davis


def test_the_page_has_a_row_for_each_set() -> None:
    page = licenses_markdown()
    for each in provenance()["nano"].sets:
        assert f"| {each.name}" in page
