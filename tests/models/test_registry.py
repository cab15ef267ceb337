"""Models are built by name; what is misspelt is refused with a hint."""

import pytest

from minirec.models import build_model


def test_a_misspelt_option_is_refused_with_the_nearest_one():
    message = r"gru4rec has no option 'd_models'; did you mean 'd_model'\? It has: d_model, n_"
    with pytest.raises(TypeError, match=message):
        build_model("gru4rec", 10, d_models=8)


def test_a_misspelt_model_is_refused_with_the_nearest_one():
    with pytest.raises(ValueError, match=r"no model 'glintru'; did you mean 'glint-ru'\?"):
        build_model("glintru", 10)
    with pytest.raises(ValueError, match=r"no model 'zzz'\. Available: popularity, "):
        build_model("zzz", 10)
