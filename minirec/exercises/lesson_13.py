"""The exercises of notebook 13: the multiply-adds of an attention layer, the peak of tensors that live and die, the least time of a chain of operators."""

from minirec.exercises import Exercise


def _attention(
    maps=4,
    mixing=lambda n, d, heads, linear: 2 * n * d * d // heads if linear else 2 * n * n * d,
    times=1,
):
    return lambda n, d, heads, linear: times * (maps * n * d * d + mixing(n, d, heads, linear))


def _peak(held=lambda birth, death, moment: birth <= moment < death, most=max):
    def peak(tensors):
        moments = sorted({birth for _, birth, _ in tensors} | {death for _, _, death in tensors})
        return most(
            [
                sum(size for size, birth, death in tensors if held(birth, death, moment))
                for moment in moments
            ]
        )

    return peak


def _least(one=max, whole=sum):
    def seconds(operators, peak, bandwidth):
        return whole([one(flops / peak, n_bytes / bandwidth) for flops, n_bytes in operators])

    return seconds


def _overlapped(operators, peak, bandwidth):
    flops, n_bytes = map(sum, zip(*operators))
    return max(flops / peak, n_bytes / bandwidth)


MULTIPLY_ADDS = Exercise(
    solution=_attention(),
    cases=(
        (3, 4, 1, False),
        (3, 4, 2, True),
        (100, 64, 8, False),
        (100, 64, 8, True),
        (2000, 32, 4, False),
    ),
    mistakes=(
        (
            _attention(maps=3),
            "one map is missing. Besides queries, keys and values there is the output map behind the heads.",
        ),
        (
            _attention(times=2),
            "those are operations. One multiply-add is two of them, and multiply-adds are asked for.",
        ),
        (
            _attention(mixing=lambda n, d, heads, linear: 2 * n * n * d),
            "yours takes no notice of `linear`: Q (K^T V) makes no [n, n] weights.",
        ),
        (
            _attention(
                mixing=lambda n, d, heads, linear: 2 * n * d * d if linear else 2 * n * n * d
            ),
            "with `linear`, each head has its own table, [d / heads, d / heads]: all of them together are heads times smaller than one [d, d].",
        ),
        (
            _attention(
                mixing=lambda n, d, heads, linear: (
                    2 * n * d * d // heads if linear else 2 * n * n * d // heads
                )
            ),
            "softmax heads are narrower, but each has its own [N, N] weights: over all heads the two products still cost 2 N N d.",
        ),
        (
            _attention(
                mixing=lambda n, d, heads, linear: n * d * d // heads if linear else n * n * d
            ),
            "there are two products between the maps: one makes weights (or the table), the other uses them.",
        ),
    ),
)

PEAK = Exercise(
    solution=_peak(),
    cases=(
        ([(1, 0, 2), (1, 1, 4), (1, 2, 4)],),
        ([(4, 0, 3), (2, 1, 2), (8, 3, 5), (1, 0, 9)],),
        ([(3, 5, 6), (2, 0, 5)],),
        ([(1, 0, 8), (2, 0, 4), (2, 2, 6), (5, 6, 7)],),
    ),
    mistakes=(
        (
            lambda tensors: sum(size for size, _, _ in tensors),
            "that is everything that was ever made. A tensor that has died makes room for the next.",
        ),
        (
            _peak(held=lambda birth, death, moment: birth <= moment <= death),
            "`death` is the first moment at which the tensor is gone: it no longer counts there.",
        ),
        (
            lambda tensors: max(size for size, _, _ in tensors),
            "that is the largest tensor. Ask how much all tensors together hold, at each moment.",
        ),
        (
            _peak(held=lambda birth, death, moment: birth < moment < death),
            "a tensor is there from `birth` on, that moment included.",
        ),
    ),
)

LEAST_SECONDS = Exercise(
    solution=_least(),
    cases=(
        ([(200.0, 10.0), (10.0, 100.0)], 100.0, 10.0),
        ([(6e9, 1e8), (1e6, 4e8), (1e6, 4e8)], 6e10, 1e10),
        ([(5.0, 1.0)], 2.0, 4.0),
    ),
    mistakes=(
        (
            _overlapped,
            "you added up all operations and all bytes first. Operators run one after the other: each has a roof of its own.",
        ),
        (
            _least(one=lambda computing, moving: computing + moving),
            "within one operator, moving and computing go on at the same time: the longer of the two decides.",
        ),
        (
            _least(one=min),
            "the slower of moving and computing decides, not the quicker: take the larger time.",
        ),
        (
            _least(one=lambda computing, moving: computing),
            "only computing is counted. An operator must also move its bytes.",
        ),
        (
            _least(one=lambda computing, moving: moving),
            "only moving is counted. An operator with much to compute is limited by that.",
        ),
        (
            _least(whole=max),
            "that is the slowest operator alone. They run one after the other, so their times add up.",
        ),
    ),
)

EXERCISES = {"13.1": MULTIPLY_ADDS, "13.2": PEAK, "13.3": LEAST_SECONDS}
