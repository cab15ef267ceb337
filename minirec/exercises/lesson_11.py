"""The exercises of notebook 11: reads and writes, traffic, a walk back, minGRU as a kernel.

B users, N positions, D channels; arrays are [B, N, D] unless said otherwise. h: the states, from a
start of zeros; grad: the gradient of the loss with respect to h; g: the same with what later
positions give back. k, c: the minGRU's gate before its sigmoid, and its candidate; z = sigmoid(k).
"""

import numpy as np

from minirec.exercises.checker import Exercise, mistake, predicted

Array = np.ndarray

# 11.1 Numbers that the two loops of section 3 read and write, for 200 positions: forward, backward.

READS_AND_WRITES = predicted(
    (400, 200, 599, 400),
    {
        (400, 200, 600, 400): "nearly. At the first position there is no earlier state in the "
        "list, so one read falls away.",
        (600, 200, 599, 400): "`state` is a plain variable. It stands for a register, so to read "
        "it is no read.",
        (600, 400, 599, 400): "`state` is a plain variable. It stands for a register, so to read "
        "or change it is neither a read nor a write.",
        (400, 200, 400, 400): "on the way back you left out one of the three lists that are read. "
        "What does the gradient of a need?",
        (400, 200, 399, 400): "on the way back you left out one of the three lists that are read. "
        "The factor a is needed too, for what goes on to the position before.",
        (400, 200, 598, 400): "every a is read, the first one too: the last line of the loop runs "
        "at each position.",
        (400, 200, 599, 200): "the way back writes two gradients at each position.",
        (200, 400, 400, 599): "you exchanged reads and writes.",
    },
    title="Every read and every write",
    stars=1,
    minutes=5,
    hints=(
        "A read is a list in square brackets on the right of `=`; a write is one on the left.",
        "Go through the body of each loop line by line, and count for one position. Then multiply.",
        "Is there a line that does not read the same at the first position as at the others?",
    ),
)


# 11.2 Bytes per element that the walk back moves with write-allocate in float32, and nanoseconds
# per element at 20 GB/s.

BACK_AT_BEST = predicted(
    (28, 1.4),
    {
        (20, 1.0): "that is what the program reads and writes. A written line is read first.",
        (
            16,
            0.8,
        ): "that is the walk forward. On the way back three arrays are read and two written.",
        (40, 2.0): "you doubled everything. Only what is written is read before.",
        (32, 1.6): "you doubled the reads. It is the written arrays whose lines move twice.",
        (24, 1.2): "you doubled one of the written arrays. There are two.",
        (44, 2.2): "that is both walks together. Asked is the way back alone.",
        (7, 0.35): "those are numbers. Each has four bytes in float32.",
        (28, 560): "you multiplied. The more bytes per nanosecond, the shorter it takes.",
        (
            28,
            20 / 28,
        ): "you divided the bandwidth by the bytes. A time is bytes divided by bandwidth.",
        (28, 1.4e-9): "that is in seconds. Asked are nanoseconds.",
    },
    title="The way back at best",
    stars=1,
    minutes=4,
    hints=(
        "The table of section 3 says which arrays are read and which are written.",
        "A number that is read costs its bytes once. What does a number cost that is written?",
        "20 GB/s are 20 bytes per nanosecond. How long do your bytes take?",
    ),
)


# 11.3 The gradients of a and b, mended.


def mended(a: Array, h: Array, grad: Array) -> tuple[Array, Array]:
    return walk_back(a, h, grad, states_before(h))


def states_before(h: Array) -> Array:
    """Return h_{t-1} for each t, 0 at the first."""
    before = np.zeros_like(h)
    before[:, 1:] = h[:, :-1]
    return before


def walk_back(a: Array, h: Array, grad: Array, before: Array) -> tuple[Array, Array]:
    """Return g times `before`, and g: g_t = grad_t + a_{t+1} g_{t+1}."""
    g = np.zeros_like(h)
    from_later = np.zeros_like(h[:, 0])
    for t in reversed(range(h.shape[1])):
        g[:, t] = grad[:, t] + from_later
        from_later = a[:, t] * g[:, t]
    return g * before, g


@mistake(
    "that is the kernel as it was. Which state does it read at the first position? In Python, and "
    "in Numba too, an index below 0 is no error."
)
def wraps_around(a: Array, h: Array, grad: Array) -> tuple[Array, Array]:
    return walk_back(a, h, grad, np.roll(h, 1, axis=1))


@mistake("you read the state after the step. The gradient of a_t is g_t times the state before it.")
def state_after(a: Array, h: Array, grad: Array) -> tuple[Array, Array]:
    return walk_back(a, h, grad, h)


@mistake(
    "you read the state of the next position. The state before t is one place to the left, in "
    "time, whichever way the loop runs."
)
def state_of_the_next(a: Array, h: Array, grad: Array) -> tuple[Array, Array]:
    return walk_back(a, h, grad, np.roll(h, -1, axis=1))


@mistake(
    "you put 1 for the state before the first position. The walk forward started from zeros, so "
    "the first factor had nothing to multiply."
)
def one_before_the_first(a: Array, h: Array, grad: Array) -> tuple[Array, Array]:
    before = states_before(h)
    before[:, 0] = 1
    return walk_back(a, h, grad, before)


@mistake(
    "the loop ends one position too early: both gradients at the first position stay zero. Only "
    "the gradient of a is zero there."
)
def first_left_out(a: Array, h: Array, grad: Array) -> tuple[Array, Array]:
    grad_a, grad_b = mended(a, h, grad)
    grad_b[:, 0] = 0
    return grad_a, grad_b


@mistake(
    "`from_later` is not carried from position to position: set it to zeros once per row, before "
    "the loop over time."
)
def nothing_from_later(a: Array, h: Array, grad: Array) -> tuple[Array, Array]:
    return grad * states_before(h), grad


@mistake("you carried g on without its factor. What goes on to the position before is a_t g_t.")
def carried_without_factor(a: Array, h: Array, grad: Array) -> tuple[Array, Array]:
    return walk_back(np.ones_like(a), h, grad, states_before(h))


def random_arrays(seed: int, *shapes: tuple[int, ...]) -> tuple[Array, ...]:
    """Draw one normal array in float64 for each shape, the same for the same seed."""
    generator = np.random.default_rng(seed)
    return tuple(generator.standard_normal(shape) for shape in shapes)


MENDED = Exercise(
    solution=mended,
    cases=(
        random_arrays(0, (1, 3, 2), (1, 3, 2), (1, 3, 2)),
        random_arrays(1, (2, 5, 3), (2, 5, 3), (2, 5, 3)),
        random_arrays(2, (2, 1, 4), (2, 1, 4), (2, 1, 4)),
    ),
    mistakes=(
        wraps_around,
        state_after,
        state_of_the_next,
        one_before_the_first,
        first_left_out,
        nothing_from_later,
        carried_without_factor,
    ),
    title="One entry is wrong",
    kind="find the bug",
    unset_is_nan=True,
    stars=2,
    minutes=10,
    hints=(
        "Print the toy's gradients below the table of section 3. At which position do they differ, "
        "and what number stands there?",
        "The wrong number is g times a state. Which state of the toy is it?",
        "Follow the index t - 1 down to the end of the loop. What is h[row, -1]?",
    ),
)


# 11.4 minGRU's states: h_t = (1 - z_t) h_{t-1} + z_t c_t.


def min_gru(k: Array, c: Array) -> Array:
    return states(sigmoid(k), c)


def sigmoid(k: Array) -> Array:
    return 1 / (1 + np.exp(-k))


def states(z: Array, c: Array) -> Array:
    """Walk from zeros along the second to last dimension."""
    h = np.zeros_like(c)
    state = np.zeros_like(c[..., 0, :])
    for t in range(c.shape[-2]):
        state = (1 - z[..., t, :]) * state + z[..., t, :] * c[..., t, :]
        h[..., t, :] = state
    return h


@mistake("the shares are exchanged. z is the share of the candidate, 1 - z that of the old state.")
def shares_exchanged(k: Array, c: Array) -> Array:
    return states(1 - sigmoid(k), c)


@mistake("the sigmoid is missing: k is the gate before it.")
def without_sigmoid(k: Array, c: Array) -> Array:
    return states(k, c)


@mistake("you added the whole candidate. Only the share z_t of it enters.")
def whole_candidate(k: Array, c: Array) -> Array:
    z = sigmoid(k)
    return states(z, c / z)


@mistake(
    "each user starts from the last state of the user before. Set the state to zeros inside the "
    "loop over rows."
)
def not_reset_between_users(k: Array, c: Array) -> Array:
    one_row = states(sigmoid(k).reshape(-1, k.shape[2]), c.reshape(-1, c.shape[2]))
    return one_row.reshape(c.shape)


@mistake(
    "nothing is carried from position to position. Set the state to zeros before the loop over "
    "time, not inside it."
)
def reset_at_each_position(k: Array, c: Array) -> Array:
    return sigmoid(k) * c


@mistake(
    "all channels share one state. Each needs its own: an array of D numbers, indexed by the "
    "channel."
)
def one_state_for_all_channels(k: Array, c: Array) -> Array:
    rows = [c.shape[0], c.shape[1] * c.shape[2], 1]
    return states(sigmoid(k).reshape(rows), c.reshape(rows)).reshape(c.shape)


@mistake(
    "one number carries the state from channel to channel and from user to user. Make it an array "
    "of D zeros for each user, indexed by the channel."
)
def one_state_for_everything(k: Array, c: Array) -> Array:
    return states(sigmoid(k).reshape(1, -1, 1), c.reshape(1, -1, 1)).reshape(c.shape)


MIN_GRU = Exercise(
    solution=min_gru,
    cases=(
        random_arrays(3, (1, 3, 2), (1, 3, 2)),
        random_arrays(4, (2, 4, 3), (2, 4, 3)),
        random_arrays(5, (3, 1, 5), (3, 1, 5)),
    ),
    mistakes=(
        shares_exchanged,
        without_sigmoid,
        whole_candidate,
        not_reset_between_users,
        reset_at_each_position,
        one_state_for_all_channels,
        one_state_for_everything,
    ),
    title="minGRU, fused",
    kind="fill in",
    unset_is_nan=True,
    stars=2,
    minutes=15,
    hints=(
        "Start from `walk`: the same three loops and the same state. Only what is read, and the "
        "innermost lines, change. There `c` is the channel; here it is the candidate.",
        "The gate of one number is `1 / (1 + np.exp(-k[row, t, channel]))`: a plain variable.",
        "Make `h = np.empty_like(c)` first and return it last. Try it without `@njit` on a small "
        "array: Python's messages are easier to read.",
    ),
)


# 11.5 Operations per byte moved of minGRU's four operations, and of one fused operation: 32
# operations; 14 numbers move unfused and 4 fused, written ones counted twice.

UNDER_THE_ROOFLINE = predicted(
    (32 / 56, 2.0),
    {
        (32 / 40, 32 / 12): "those bytes are counted without write-allocate. What is written is "
        "read before.",
        (56 / 32, 16 / 32): "you divided bytes by operations. Intensity is operations per byte.",
        (32 / 14, 32 / 4): "you divided by numbers. Each has four bytes.",
        (4 / 56, 4 / 16): "a sigmoid is not one operation. How many does the cell above give it?",
        (26 / 56, 26 / 16): "you took the exponential's operations for the sigmoid's, which also "
        "adds and divides. The cell above has both.",
        (28 / 56, 28 / 16): "you counted the sigmoid alone. The other three compute too.",
        (30 / 56, 30 / 16): "two operations are missing. A step of the recurrence multiplies and "
        "adds.",
        (
            31 / 56,
            31 / 16,
        ): "one operation is missing. 1 - z is one, z * c is one, and a step of the "
        "recurrence is two.",
        (32 / 44, 2.0): "one of the four goes to memory too: 1 - z reads one array and writes one.",
        (32 / 56, 32 / 20): "fused, neither z nor 1 - z goes to memory.",
        (
            32 / 56,
            32 / 12,
        ): "unfused is right. The fused kernel also writes, so a line of h is read before.",
    },
    title="minGRU under the roofline",
    stars=2,
    minutes=6,
    hints=(
        "Write down for each of the four operations which arrays it reads and which it writes. A "
        "number read moves 4 bytes; and one written?",
        "Two of them read one array, two of them read two. Each writes one.",
        "The operations are the same, fused or not: a sigmoid as in the cell above, one each for "
        "1 - z and z * c, and those of a step of the recurrence.",
    ),
)


# 11.6 The gradients of k and c, [N, D] each, for one user's minGRU.


def min_gru_backward(k: Array, c: Array, grad: Array) -> tuple[Array, Array]:
    z = sigmoid(k)
    return gradients(z, c, carried_back(1 - z, grad), before(z, c))


def before(z: Array, c: Array) -> Array:
    """Return h_{t-1} for each t, 0 at the first."""
    return states_before(states(z, c)[None])[0]


def carried_back(kept: Array, grad: Array) -> Array:
    """Return g_t = grad_t + kept_{t+1} g_{t+1}."""
    _, g = walk_back(kept[None], grad[None], grad[None], grad[None])
    return g[0]


def gradients(z: Array, c: Array, g: Array, subtracted: Array) -> tuple[Array, Array]:
    """Return the gradients of k and c. subtracted: what is taken from c, h_{t-1}."""
    to_k = g * (c - subtracted) * (z * (1 - z))
    return to_k, g * z


@mistake(
    "you subtract h_t. The derivative with respect to z_t is c_t - h_{t-1}, with the state before "
    "the step."
)
def state_after_the_step(k: Array, c: Array, grad: Array) -> tuple[Array, Array]:
    z = sigmoid(k)
    return gradients(z, c, carried_back(1 - z, grad), states(z, c))


@mistake("that is the gradient of z. k comes before the sigmoid: multiply by z (1 - z).")
def gradient_of_z(k: Array, c: Array, grad: Array) -> tuple[Array, Array]:
    z = sigmoid(k)
    g = carried_back(1 - z, grad)
    return g * (c - before(z, c)), g * z


@mistake("what goes back to h_{t-1} is multiplied by the factor of h_{t-1}, which is 1 - z_t.")
def wrong_share_goes_back(k: Array, c: Array, grad: Array) -> tuple[Array, Array]:
    z = sigmoid(k)
    return gradients(z, c, carried_back(z, grad), before(z, c))


@mistake(
    "each position is treated alone. A state also acts on all later ones: carry (1 - z_t) g_t to "
    "the position before."
)
def each_position_alone(k: Array, c: Array, grad: Array) -> tuple[Array, Array]:
    z = sigmoid(k)
    return gradients(z, c, grad, before(z, c))


@mistake(
    "z appears twice, in z c and in (1 - z) h. You have the gradient through the candidate's share "
    "only."
)
def through_the_candidate_only(k: Array, c: Array, grad: Array) -> tuple[Array, Array]:
    z = sigmoid(k)
    return gradients(z, c, carried_back(1 - z, grad), np.zeros_like(c))


MIN_GRU_BACKWARD = Exercise(
    solution=min_gru_backward,
    cases=(
        random_arrays(6, (5, 3), (5, 3), (5, 3)),
        random_arrays(7, (1, 2), (1, 2), (1, 2)),
    ),
    mistakes=(
        state_after_the_step,
        gradient_of_z,
        wrong_share_goes_back,
        each_position_alone,
        through_the_candidate_only,
    ),
    title="Back through minGRU",
    kind="extend",
    unset_is_nan=True,
    stars=3,
    minutes=30,
    hints=(
        "First g: it is the plain walk back of section 3, with a factor that you know.",
        "Write the step as h_{t-1} + z_t (c_t - h_{t-1}). What are its derivatives with respect to "
        "z_t and to c_t?",
        "From z to k leads the sigmoid, whose derivative can be had from z itself.",
    ),
)

EXERCISES = {
    "11.1": READS_AND_WRITES,
    "11.2": BACK_AT_BEST,
    "11.3": MENDED,
    "11.4": MIN_GRU,
    "11.5": UNDER_THE_ROOFLINE,
    "11.6": MIN_GRU_BACKWARD,
}
