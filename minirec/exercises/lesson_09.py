"""The exercises of notebook 09: a scan's work counted, users packed in one row, the gradients from the last state alone, and another thing to scan."""

import math
from functools import partial

import torch

from minirec.exercises import Exercise


def _random(seed, *shapes):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes)


def _reaches(n):
    return [2**s for s in range((n - 1).bit_length())]


def _packed(a, b, lengths, into_a=0, into_b=None, shift=0):
    """The first step of each user (or the one `shift` later) gets `into_a` for a and `into_b` for b, where they are not None."""
    a, b = a.clone(), b.clone()
    firsts = (lengths.cumsum(0) - lengths + shift) % len(a)
    for tensor, value in ((a, into_a), (b, into_b)):
        if value is not None:
            tensor[firsts] = value
    return a, b


def _rows(seed, n, *lengths):
    """n steps of users packed in one row. The very first a meets the zero state, so it may stay or become 0: here it is 0 already."""
    a, b = _random(seed, (n,), (n,))
    return a.index_fill(0, torch.tensor(0), 0), b, torch.tensor(lengths)


def _states(a, b):
    h, states = torch.zeros_like(b[0]), []
    for a_t, b_t in zip(a, b):
        h = a_t * h + b_t
        states.append(h)
    return torch.stack(states)


def _from_the_end(a, b, own=False, late=False, everywhere=False):
    """The gradients of a and b from that of the last state, 1. own: a_t in the place of a_{t+1}; late: h_t in the place of h_{t-1}."""
    h, g = _states(a, b), torch.ones_like(a)
    for t in range(len(a) - 2, -1, -1):
        g[t] = (everywhere * 1.0) + a[t if own else t + 1] * g[t + 1]
    before = h if late else torch.cat([torch.zeros_like(h[:1]), h[:-1]])
    return g * before, g


def _leaky(first, second, pick=torch.maximum, decay=torch.add, leak=1):
    (a1, b1), (a2, b2) = first, second
    return decay(a1, a2), pick(b1 + (a1, a2)[leak], b2)


def _pairs(seed):
    a1, b1, a2, b2 = _random(seed, *[(5,)] * 4)
    return (-a1.abs(), b1), (-a2.abs(), b2)


COUNT = Exercise(
    solution=lambda n: (len(_reaches(n)), sum(n - reach for reach in _reaches(n))),
    cases=((8,), (1,), (6,), (200,), (4096,)),
    mistakes=(
        (
            lambda n: (len(_reaches(n)), n * len(_reaches(n))),
            "you combine at every position in every round. In the round with reach r, the first r positions have nothing r steps back: they are finished.",
        ),
        (
            lambda n: (int(math.log2(n)), sum(n - 2**s for s in range(int(math.log2(n))))),
            "your rounds stop too early where n is no power of two. Go on while the reach is smaller than n.",
        ),
        (
            lambda n: (len(_reaches(n)), n - 1),
            "n - 1 products are what the loop needs. Add up n - reach over the rounds.",
        ),
        (
            lambda n: (len(_reaches(n)), 2 * n - 2 - len(_reaches(n))),
            "that is Blelloch's number, for powers of two. Hillis and Steele spend more, to have fewer rounds.",
        ),
    ),
)

PACKED = Exercise(
    solution=_packed,
    cases=(_rows(0, 6, 2, 3, 1), _rows(1, 5, 5), _rows(2, 7, 1, 1, 5)),
    mistakes=(
        (
            partial(_packed, into_b=0),
            "you emptied b as well. The first step of a user begins from nothing, but what comes in with it, b, has to enter.",
        ),
        (
            partial(_packed, shift=-1),
            "you cut one step too early: the old state is multiplied by the a of the NEW user's first step. The last of the old user stays.",
        ),
        (
            partial(_packed, into_a=None, into_b=0),
            "b is what comes in; a is what is kept. To forget the user before, nothing must be kept.",
        ),
        (
            partial(_packed, into_a=1),
            "a = 1 keeps the whole state of the user before. Which a keeps nothing of it?",
        ),
    ),
)

FROM_THE_END = Exercise(
    solution=_from_the_end,
    cases=(_random(3, (4,), (4,)), _random(4, (1,), (1,)), _random(5, (6,), (6,))),
    mistakes=(
        (
            partial(_from_the_end, own=True),
            "you multiply by a_t. What carries h_t into the next state is the NEXT step's a: g_t = a_{t+1} g_{t+1}.",
        ),
        (
            partial(_from_the_end, late=True),
            "a_t multiplies the state before its step: its gradient is g_t h_{t-1}, not g_t h_t.",
        ),
        (
            partial(_from_the_end, everywhere=True),
            "you let every state into the loss. Here only the last is: the grad_t of all others is 0.",
        ),
        (
            lambda a, b: _from_the_end(a, b)[::-1],
            "the right numbers in the wrong order: first the gradient of a, then that of b.",
        ),
    ),
)

LEAKY_MAXIMUM = Exercise(
    solution=_leaky,
    cases=(_pairs(6), _pairs(7)),
    mistakes=(
        (
            partial(_leaky, leak=0),
            "you let b1 fade by a1. It has been through that already; it is the SECOND step that makes it fade, by a2.",
        ),
        (
            partial(_leaky, decay=torch.mul),
            "the two leaks follow each other: h + a1 and then + a2. That is a sum, where the lesson's recurrence has a product.",
        ),
        (
            partial(_leaky, pick=torch.add),
            "that adds up. The second step takes the larger of what came before it, faded, and b2.",
        ),
        (
            lambda first, second: _leaky(second, first),
            "you took the steps in the wrong order. This product too depends on which step is first.",
        ),
    ),
)

EXERCISES = {"09.1": COUNT, "09.2": PACKED, "09.3": FROM_THE_END, "09.4": LEAKY_MAXIMUM}
