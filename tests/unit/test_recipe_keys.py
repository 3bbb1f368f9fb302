"""The names under which banks and maps are kept."""

from dataclasses import replace

from relact.data.ava_kinetics import AvaKineticsData
from relact.data.ava_official import AvaOfficialData
from relact.recipe import key_of
from relact.recipes import load


def test_a_setting_that_says_nothing_of_a_network_is_in_no_name_of_what_is_kept():
    recipe = load("debug")
    nested = replace(recipe, data=AvaKineticsData(skip_bad=True, ava=AvaOfficialData(skip_bad=True)))
    strict = replace(recipe, data=AvaKineticsData())
    assert key_of(nested) == key_of(strict)
    assert "skip_bad" not in str(key_of(recipe))
