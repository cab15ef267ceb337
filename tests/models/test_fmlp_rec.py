"""FMLP-Rec beside explicit circular convolutions; its promises: test_contract.py."""

import math

import contract
import pytest
import torch
from gradients import gradients_are_right
from hypothesis import given, settings
from hypothesis.strategies import integers
from torch.nn import functional as F

from minirec import build_model
from minirec.models.fmlp_rec import FilterLayer, FourierFilter

CLOSE = {"rtol": 0, "atol": 1e-10}
D_MODEL = contract.SMALL["d_model"]


def kernel_of(weight, width):
    """The waves of a filter [F, d, 2], added up: its kernel [W, d].

    A frequency between 0 and the highest stands for two waves, one running each way.
    """
    kernel = torch.zeros(width, weight.shape[1], dtype=torch.float64)
    for t in range(width):
        for frequency in range(width // 2 + 1):
            angle = 2 * math.pi * frequency * t / width
            n_waves = 1 if frequency in (0, width / 2) else 2
            real, imaginary = weight[frequency].unbind(-1)
            wave = real * math.cos(angle) - imaginary * math.sin(angle)
            kernel[t] += n_waves * wave / width
    return kernel


def circular_convolution(kernel, x):
    """y_t = sum over s of k_s x_{(t - s) mod W}, of one row [W, d]."""
    width = len(x)
    y = torch.zeros_like(x)
    for t in range(width):
        for s in range(width):
            y[t] += kernel[s] * x[(t - s) % width]
    return y


@given(width=integers(1, 12), d_model=integers(1, 4), seed=integers(0, 10**6))
@torch.no_grad()
def test_a_product_of_spectra_is_a_circular_convolution(width, d_model, seed):
    torch.manual_seed(seed)
    fourier = FourierFilter(d_model, width).double()
    fourier.weight.normal_()
    x = torch.randn(3, width, d_model, dtype=torch.float64)
    kernel = kernel_of(fourier.weight, width)
    expected = torch.stack([circular_convolution(kernel, row) for row in x])
    torch.testing.assert_close(fourier(x), expected, **CLOSE)


@pytest.mark.parametrize("width", [7, 8])
@torch.no_grad()
def test_at_the_last_position_nothing_wraps_and_before_it_the_future_is_read(width):
    torch.manual_seed(0)
    fourier = FourierFilter(2, width).double()
    x = torch.randn(1, width, 2, dtype=torch.float64)
    kernel = kernel_of(fourier.weight, width)
    backwards = sum(kernel[s] * x[0, width - 1 - s] for s in range(width))
    torch.testing.assert_close(fourier(x)[0, -1], backwards, **CLOSE)

    other_future = x.clone()
    other_future[:, -1] += 1
    assert (fourier(x) - fourier(other_future))[0, 0].abs().max() > 1e-6


def branch_in_a_loop(layer, vector):
    """The layer's feed-forward of one vector."""
    wide = layer.widen.weight @ vector + layer.widen.bias
    active = wide * 0.5 * (1 + torch.erf(wide / math.sqrt(2)))
    return layer.narrow.weight @ active + layer.narrow.bias


def layer_norm(norm, vector):
    centred = vector - vector.sum() / len(vector)
    variance = (centred**2).sum() / len(vector)
    return norm.weight * centred / (variance + 1e-12).sqrt() + norm.bias


@given(
    length=integers(1, 9), max_len=integers(1, 7), n_layers=integers(1, 3), seed=integers(0, 10**6)
)
@settings(max_examples=25)
@torch.no_grad()
def test_it_filters_the_last_items_and_nothing_before_the_first(length, max_len, n_layers, seed):
    model = contract.random_model("fmlp-rec", {"max_len": max_len, "n_layers": n_layers}, seed)
    items = contract.random_items(seed, [length])
    seen = items[0, -max_len:]
    n_padding = max_len - len(seen)

    x = torch.zeros(max_len, D_MODEL, dtype=torch.float64)
    for t in range(n_padding, max_len):
        item = seen[t - n_padding]
        embedded = model.item_embedding.weight[item] + model.positions.weight[t]
        x[t] = layer_norm(model.norm, embedded)
    for layer in model.layers:
        x[:n_padding] = 0
        filtered = circular_convolution(kernel_of(layer.filter.weight, max_len), x)
        for t in range(max_len):
            y = layer_norm(layer.filter_norm, x[t] + filtered[t])
            x[t] = layer_norm(layer.norm, y + branch_in_a_loop(layer, y))
    torch.testing.assert_close(model.last(items)[0], x[-1], **CLOSE)


@pytest.mark.parametrize("width", [1, 4, 5])
def test_the_gradients_of_a_layer_are_those_of_what_it_computes(width):
    torch.manual_seed(0)
    layer = FilterLayer(2, width, dropout=0.0).double()
    x = torch.randn(2, width, 2, dtype=torch.float64)
    real = torch.arange(width) >= width // 3

    class OfReal(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return self.layer(x, real.expand(2, width))

    assert gradients_are_right(OfReal(), x)


def test_values_are_dropped_after_the_filter_and_after_the_second_map():
    torch.manual_seed(0)
    layer = FilterLayer(16, 5, dropout=0.4)
    x = torch.randn(3, 5, 16)
    real = torch.ones(3, 5, dtype=torch.bool)
    torch.manual_seed(7)
    found = layer(x, real)

    torch.manual_seed(7)
    filtered = F.dropout(layer.filter(x), 0.4)
    y = F.layer_norm(x + filtered, (16,), eps=1e-12)
    branch = F.dropout(layer.narrow(F.gelu(layer.widen(y))), 0.4)
    torch.testing.assert_close(found, F.layer_norm(y + branch, (16,), eps=1e-12))


def test_the_oldest_item_in_view_has_a_say_and_the_one_before_it_none():
    model = contract.random_model("fmlp-rec", {"max_len": 3}, 0)
    last = model.last(torch.tensor([[1, 2, 3, 4]]))
    out_of_view = model.last(torch.tensor([[9, 2, 3, 4]]))
    oldest_in_view = model.last(torch.tensor([[1, 9, 3, 4]]))
    assert torch.equal(last, out_of_view)
    assert (last - oldest_in_view).abs().max() > 1e-6


def test_a_filter_takes_bfloat16_and_computes_in_its_own_precision():
    fourier = FourierFilter(4, 6)
    x = torch.randn(2, 6, 4).bfloat16()
    assert torch.equal(fourier(x), fourier(x.float()))


def test_a_model_stored_whole_in_bfloat16_represents_rows_as_before_but_for_rounding():
    torch.manual_seed(0)
    model = build_model("fmlp-rec", 9, d_model=4, max_len=5).eval()
    items = torch.tensor([[1, 2, 3, 0, 0], [5, 6, 7, 8, 9]])
    with torch.no_grad():
        expected = model.last(items)
        found = model.bfloat16().last(items)
    assert found.dtype == torch.bfloat16
    # Representations are about 1; a bfloat16 has 8 bits, and two layers add their roundings.
    assert (found.float() - expected).abs().max() < 0.1


PERIOD = 4
WIDTH = 12  # of rows


def periodic_rows(generator, n_rows):
    """Rows that repeat four random items, cut off anywhere, and the item that comes next."""
    block = torch.randint(1, 9, (n_rows, PERIOD), generator=generator)
    lengths = torch.randint(PERIOD, WIDTH + 1, (n_rows, 1), generator=generator)
    columns = torch.arange(WIDTH + 1)
    repeated = block[:, columns % PERIOD]
    items = repeated[:, :WIDTH] * (columns[:WIDTH] < lengths)
    return items, repeated.gather(1, lengths)[:, 0]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0])
def test_a_periodic_behaviour_is_found_and_not_by_the_mean_alone(seed):
    """Frequency 0 is the mean of a row, which does not know the order of its items."""
    right = {}
    for n_frequencies in (WIDTH // 2 + 1, 1):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        model = build_model("fmlp-rec", 8, d_model=16, n_layers=1, dropout=0.0, max_len=WIDTH)
        # Position embeddings tell the order too, even to a mean: here only the filter does.
        model.positions.weight.requires_grad_(False).zero_()
        filter_weight = model.layers[0].filter.weight
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(150):
            filter_weight.data[n_frequencies:] = 0
            items, targets = periodic_rows(generator, 128)
            loss = F.cross_entropy(model.scores(items)[:, 1:], targets - 1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        filter_weight.data[n_frequencies:] = 0
        items, targets = periodic_rows(generator, 2000)
        right[n_frequencies] = (model.scores(items).argmax(1) == targets).double().mean().item()

    # Over five seeds: 1.00, and 0.15 to 0.26.
    assert right[WIDTH // 2 + 1] > 0.95
    assert right[1] < 0.5
