"""The exercises of notebook 05: operations counted, one step of the running sum, padding kept out of Eq. 2, and a sum that fades."""

from functools import partial

import torch

from minirec.exercises import Exercise


def _random(seed, *shapes):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes)


def _step(sums, squares, q, k, v):
    sums, squares = sums + torch.outer(k, v), squares + k.square()
    return (q / squares.sqrt()) @ sums, sums, squares


def _step_reading_first(sums, squares, q, k, v):
    after = _step(sums, squares, q, k, v)
    return ((q / squares.sqrt()) @ sums, *after[1:])


def _step_dividing_the_key(sums, squares, q, k, v):
    squares = squares + k.square()
    sums = sums + torch.outer(k / squares.sqrt(), v)
    return q @ sums, sums, squares


def _step_dividing_by(power, sums, squares, q, k, v):
    after = _step(sums, squares, q, k, v)
    return ((q / after[2] ** power) @ after[1], *after[1:])


def _state(seed, e):
    """The state after one earlier position, and the vectors of the next."""
    key, value, q, k, v = _random(seed, *[(e,)] * 5)
    return torch.outer(key, value), key.square(), q, k, v


def _unpadded(q, k, v, real, measured=True):
    inside = k * real[:, None]
    return q @ ((inside / (inside if measured else k).square().sum(0).sqrt()).T @ v)


def _padded(seed, n, n_real, e):
    return (*_random(seed, *[(n, e)] * 3), torch.arange(n) < n_real)


def _fading(q, k, v, decay, first=0, power=lambda t, s: t - s):
    """Row t: sum over s <= t - first of decay ** power(t, s) (q_t . k_s) v_s."""
    at = torch.arange(len(q))
    t, s = at[:, None], at[None]
    faded = torch.where(
        s <= t - first, decay ** power(t, s).clamp_min(0).double(), torch.zeros(()).double()
    )
    return (q @ k.T * faded) @ v


COSTS = Exercise(
    solution=lambda n, d, heads: (2 * n * n * d, 2 * n * d * d // heads),
    cases=((50, 64, 1), (200, 64, 8), (1000, 128, 4)),
    mistakes=(
        (
            lambda n, d, heads: (2 * n * n * d, 2 * n * d * d),
            "your linear attention has one head. With more, each head has a table of its own, e by e with e = d / heads, and there are `heads` of them.",
        ),
        (
            lambda n, d, heads: (2 * n * n * d * heads, 2 * n * d * d // heads),
            "you counted softmax's heads twice. Each head is only d / heads wide, so the number of heads cancels.",
        ),
        (
            lambda n, d, heads: (n * n * d, n * d * d // heads),
            "you counted one product of each kind. There are two: queries with keys, and then with the values.",
        ),
        (
            lambda n, d, heads: (2 * n * d * d // heads, 2 * n * n * d),
            "the right numbers in the wrong order: first softmax, then linear.",
        ),
    ),
)

RUNNING_STEP = Exercise(
    solution=_step,
    cases=(_state(0, 3), _state(1, 2), _state(2, 5)),
    mistakes=(
        (
            _step_reading_first,
            "you asked before the new film was entered. Position t sees itself: first update both sums, then ask.",
        ),
        (
            partial(_step_dividing_by, 0),
            "the running length is missing. Divide the query by the square root of the new `squares` before you ask.",
        ),
        (
            _step_dividing_the_key,
            "you divided the key before adding it. Then old entries keep the lengths of their own time; Eq. 2 divides all of them by today's. "
            "Add the plain key, and divide the query.",
        ),
        (
            partial(_step_dividing_by, 1),
            "you divided by the sum of squares. A length is its square root.",
        ),
    ),
)

WITHOUT_PADDING = Exercise(
    solution=_unpadded,
    cases=(_padded(3, 5, 3, 2), _padded(4, 4, 4, 3), _padded(5, 6, 1, 2)),
    mistakes=(
        (
            lambda q, k, v, real: _unpadded(q, k, v, real | True),
            "the padded rows are still in it: `real` changes nothing yet.",
        ),
        (
            partial(_unpadded, measured=False),
            "the padded keys are out of the sum, but still in the lengths of X2. Set them to zero before you divide.",
        ),
        (
            lambda q, k, v, real: _unpadded(q * real[:, None], k, v, real | True),
            "you silenced the padded queries. Nobody reads their outputs anyway; it is the padded keys that leak into the outputs of real positions.",
        ),
    ),
)

FADING = Exercise(
    solution=_fading,
    cases=(
        (*_random(6, *[(5, 2)] * 3), 0.5),
        (*_random(7, *[(3, 3)] * 3), 0.9),
        (*_random(8, *[(1, 2)] * 3), 0.3),
    ),
    mistakes=(
        (
            lambda q, k, v, decay: decay * _fading(q, k, v, decay),
            "you faded the new entry as well. Fade the old sum, then add k_t and v_t in full.",
        ),
        (
            lambda q, k, v, decay: _fading(q, k, v, decay, first=1),
            "you asked before adding the new entry: position t sees itself, in full.",
        ),
        (
            lambda q, k, v, decay: _fading(q, k, v, 1.0),
            "nothing fades yet: this is the plain running sum.",
        ),
        (
            lambda q, k, v, decay: _fading(q, k, v, decay, power=lambda t, s: s.expand(len(t), -1)),
            "you faded by the position counted from the start, decay ** s, so the newest film fades most. It is the age that counts, t - s.",
        ),
    ),
)

EXERCISES = {"05.1": COSTS, "05.2": RUNNING_STEP, "05.3": WITHOUT_PADDING, "05.4": FADING}
