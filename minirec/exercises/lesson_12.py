"""The exercises of notebook 12: transactions, a sum from the end, kernels of the scan, chunks.

a, b, h, grad: [B, N, D] in float32: factors and addends of the recurrence, its states, and the
gradient of a loss with respect to them. Answers that are kernels come as functions of tensors that
run them in Triton's interpreter, and refuse what a GPU would not take; what a kernel has not
written is UNWRITTEN. C: chunks of time.
"""

import torch

from minirec.exercises.checker import Exercise, mistake, predicted
from minirec.exercises.inputs import random_tensors

UNWRITTEN = -99.0  # as the lesson's `run` fills tensors before a kernel writes


def in_float32(seed, *shapes):
    return tuple(tensor.float() for tensor in random_tensors(seed, *shapes))


# 12.1 Transactions of one load of a warp: stride 3 in float32; stride 2 in bfloat16; side by side
# from the second number on; one position of [B, D, N] with N = 200.

TRANSACTIONS = predicted(
    (3, 1, 2, 32),
    {
        (3, 2, 2, 32): "a number of bfloat16 has 2 bytes. How far apart are the first and the "
        "last of 32, two numbers apart?",
        (
            3,
            1,
            1,
            32,
        ): "in the third case the warp begins 4 bytes after the line does. Where does it end?",
        (4, 1, 2, 32): "the last of 32 lanes is 31 steps from the first, not 32. On which byte "
        "does it begin?",
        (3, 1, 2, 31): "32 lanes have 31 gaps between them. How many lines do 32 lanes need that "
        "share none?",
        (
            3,
            1,
            2,
            25,
        ): "in the fourth, the lanes are 4 * 200 bytes apart: more than a line is long.",
        (3, 1, 2, 1): "in the fourth, neighbouring channels are N numbers apart, not side by side.",
        (3, 1, 2, 200): "a warp has 32 lanes, so it cannot fetch more lines than that.",
        (96, 64, 32, 6400): "those are the numbers between the first lane and the last. Count "
        "lines of 128 bytes.",
        (384, 128, 128, 25600): "those are bytes. Count lines of 128 bytes, and at most one for "
        "each lane.",
    },
    title="How many transactions?",
    stars=1,
    minutes=6,
    hints=(
        "Write down the byte at which lane 0, lane 1 and lane 31 begin.",
        "Divide each by 128 and drop the fraction: that is its line. How many different lines?",
        "Where lanes are 128 bytes apart or more, no two of them share a line.",
    ),
)


# 12.2 The sum of b from each position to the end.


def sum_from_the_end(b):
    return b.flip(1).cumsum(1).flip(1)


@mistake("that is the sum from the beginning. Begin at the last position, and go back by D.")
def sum_from_the_beginning(b):
    return b.cumsum(1)


@mistake(
    "you store the sum before this position's number is added to it. Position t counts itself."
)
def stored_before_adding(b):
    return sum_from_the_end(b) - b


@mistake(
    "the sums are right, but they stand in the wrong places: the total belongs to position 1. Read "
    "and write at the same address."
)
def written_from_the_front(b):
    return b.flip(1).cumsum(1)


@mistake(
    "the first position was never written (-99). From position N down to 1 there are N steps: does "
    "the loop make them all?"
)
def one_step_too_few(b):
    sums = sum_from_the_end(b)
    sums[:, 0] = UNWRITTEN
    return sums


@mistake(
    "you begin one position too early, so that the last one is neither read nor written: positions "
    "count from 0 in an address, and the last is N - 1."
)
def last_left_out(b):
    sums = sum_from_the_end(b) - b[:, -1:]
    sums[:, -1] = UNWRITTEN
    return sums


@mistake("nothing is added up: each result is its own b. The sum lives across the loop: g += ...")
def without_a_sum(b):
    return b.clone()


@mistake("only the first position that you meet is there: where does `here` change?")
def stays_at_the_last(b):
    sums = torch.full_like(b, UNWRITTEN)
    sums[:, -1] = b[:, -1] * b.shape[1]
    return sums


SUM_FROM_THE_END = Exercise(
    solution=sum_from_the_end,
    cases=(in_float32(0, (2, 3, 3)), in_float32(1, (1, 5, 2)), in_float32(2, (3, 1, 2))),
    mistakes=(
        sum_from_the_beginning,
        stored_before_adding,
        written_from_the_front,
        one_step_too_few,
        last_left_out,
        without_a_sum,
        stays_at_the_last,
    ),
    title="A sum from the end",
    kind="find the bug",
    stars=2,
    minutes=6,
    hints=(
        "Work out `here` on paper for lane 0 of a tensor [1, 3, 2]. Its places are 0 to 5: on "
        "which of them does position 3 of channel 0 lie?",
        "There is a second bug, which shows only where B * D is no multiple of BLOCK. Compare "
        "every load and every store with those of `running_sum`.",
    ),
)


# 12.3 The scan forwards.


def forward(a, b):
    h = torch.zeros_like(b[:, 0])
    states = []
    for t in range(b.shape[1]):
        h = a[:, t] * h + b[:, t]
        states.append(h)
    return torch.stack(states, dim=1)


@mistake("this is the running sum: a is not in it. Multiply the old state by a, then add b.")
def without_a(a, b):
    return b.cumsum(1)


@mistake("you multiply the new number too: a times (h + b). Only the old state is multiplied.")
def a_times_all(a, b):
    return forward(a, a * b)


@mistake("you store the state before it is brought up to date: position t gets the state of t - 1.")
def stored_too_early(a, b):
    h = forward(a, b)
    return torch.cat([torch.zeros_like(h[:, :1]), h[:, :-1]], dim=1)


@mistake("nothing is carried on: every state is its b alone. The state lives across the loop.")
def nothing_carried(a, b):
    return b.clone()


@mistake("a and b have changed places: a multiplies the state, b is added.")
def exchanged(a, b):
    return forward(b, a)


@mistake("you begin with the state 1. Before the first position the state is 0.")
def begins_with_one(a, b):
    return forward(a, b) + a.cumprod(1)


@mistake("the first position was never written (-99). Does the loop make all N steps?")
def first_position_left_out(a, b):
    states = forward(a, b)
    states[:, 0] = UNWRITTEN
    return states


@mistake("the last position was never written (-99). Does the loop make all N steps?")
def last_position_left_out(a, b):
    states = forward(a, b)
    states[:, -1] = UNWRITTEN
    return states


@mistake("b is not in it: the new state is a times the old one, plus b.")
def without_b(a, b):
    return torch.zeros_like(b)


@mistake("a of the first position is used everywhere: load a inside the loop, as b is.")
def a_loaded_once(a, b):
    return forward(a[:, :1].expand_as(a), b)


@mistake("you multiply by the a of the position before. Position t has its own a.")
def a_of_the_position_before(a, b):
    return forward(a.roll(1, dims=1), b)


@mistake("only one position is written, with the last state. Store inside the loop, at each step.")
def stored_after_the_loop(a, b):
    states = torch.full_like(b, UNWRITTEN)
    states[:, -1] = forward(a, b)[:, -1]
    return states


@mistake("the address stays where it is. At the end of the loop, go on to the next position.")
def stays_in_place(a, b):
    first_a, first_b = (each[:, :1].expand_as(each) for each in (a, b))
    states = torch.full_like(b, UNWRITTEN)
    states[:, 0] = forward(first_a, first_b)[:, -1]
    return states


FORWARD = Exercise(
    solution=forward,
    cases=(
        in_float32(3, (2, 4, 3), (2, 4, 3)),
        in_float32(4, (1, 6, 2), (1, 6, 2)),
        in_float32(5, (3, 1, 2), (3, 1, 2)),
    ),
    mistakes=(
        without_a,
        a_times_all,
        stored_too_early,
        nothing_carried,
        exchanged,
        begins_with_one,
        first_position_left_out,
        last_position_left_out,
        without_b,
        a_loaded_once,
        a_of_the_position_before,
        stored_after_the_loop,
        stays_in_place,
    ),
    title="The scan, forwards",
    kind="fill in",
    stars=2,
    minutes=6,
    hints=(
        "It has the lines of `running_sum`, and one more load. Which lines stay as they are?",
        "a lies at the same places as b, so it needs no address of its own.",
        "In the loop: load a, load b, bring h up to date, store it, go on by D.",
    ),
)


# 12.4 The scan backwards: the gradients of a and of b.


def backward(a, h, grad):
    g = gradient_of_b(a, grad)
    return g * before(h), g


def gradient_of_b(a, grad):
    onward = torch.zeros_like(grad[:, 0])
    walked = []
    for t in reversed(range(grad.shape[1])):
        g = grad[:, t] + onward
        walked.append(g)
        onward = a[:, t] * g
    return torch.stack(walked[::-1], dim=1)


def before(h):
    """Return the state before each position, [B, N, D]."""
    return torch.cat([torch.zeros_like(h[:, :1]), h[:, :-1]], dim=1)


@mistake(
    "what flows back into t is multiplied by a of position t. It has to be that of t + 1: multiply "
    "by a before you leave a position, not when you arrive at the next."
)
def a_of_this_position(a, h, grad):
    earlier = torch.cat([torch.zeros_like(a[:, :1]), a[:, :-1]], dim=1)
    g = gradient_of_b(earlier, grad)
    return g * before(h), g


@mistake("the gradient of a takes the state *before* position t, h_{t-1}. You took h_t.")
def state_after(a, h, grad):
    g = gradient_of_b(a, grad)
    return g * h, g


@mistake("the two results have changed places: first the gradient of a, then that of b.")
def results_exchanged(a, h, grad):
    return backward(a, h, grad)[::-1]


@mistake("nothing flows back: the gradient of b is more than `grad`, if later states use h_t.")
def nothing_flows_back(a, h, grad):
    return grad * before(h), grad.clone()


@mistake("you walk forwards. A gradient comes from the later positions: begin at the last one.")
def walked_forwards(a, h, grad):
    flipped = gradient_of_b(a.flip(1), grad.flip(1)).flip(1)
    return flipped * before(h), flipped


@mistake(
    "what flows back is not multiplied by a, so that a gradient reaches every earlier position in "
    "full, as it does in a sum."
)
def without_a_on_the_way_back(a, h, grad):
    g = gradient_of_b(torch.ones_like(a), grad)
    return g * before(h), g


@mistake(
    "the gradient of a is not written at the first position. There is no state before it but 0, "
    "so it is 0; it has to be stored all the same."
)
def first_left_out(a, h, grad):
    grad_a, grad_b = backward(a, h, grad)
    grad_a[:, 0] = UNWRITTEN
    return grad_a, grad_b


@mistake(
    "the state before is missing at the first position of the first user only: `here >= D` says "
    "whether there is any number before. The second user's first position has one, of the first "
    "user's."
)
def first_of_the_first_user(a, h, grad):
    grad_a, grad_b = backward(a, h, grad)
    last = h[:-1, -1]
    grad_a[1:, 0] = grad_b[1:, 0] * last
    return grad_a, grad_b


@mistake("grad is not yet all that reaches h_t: the gradient of a takes g_t, grad plus what flows.")
def grad_for_g(a, h, grad):
    return grad * before(h), gradient_of_b(a, grad)


@mistake("what flows back is a times g_t, all that reaches h_t, and not a times grad_t alone.")
def one_step_back_only(a, h, grad):
    later = torch.cat([(a * grad)[:, 1:], torch.zeros_like(a[:, :1])], dim=1)
    g = grad + later
    return g * before(h), g


@mistake("only the gradient of a is written; that of b is -99 throughout.")
def b_never_stored(a, h, grad):
    grad_a, grad_b = backward(a, h, grad)
    return grad_a, torch.full_like(grad_b, UNWRITTEN)


@mistake("only the gradient of b is written; that of a is -99 throughout.")
def a_never_stored(a, h, grad):
    grad_a, grad_b = backward(a, h, grad)
    return torch.full_like(grad_a, UNWRITTEN), grad_b


def walked(seed, shape):
    a, b, grad = in_float32(seed, shape, shape, shape)
    return a, forward(a, b), grad


BACKWARD = Exercise(
    solution=backward,
    cases=(walked(6, (2, 4, 3)), walked(7, (1, 6, 2)), walked(8, (3, 1, 2))),
    mistakes=(
        a_of_this_position,
        state_after,
        results_exchanged,
        nothing_flows_back,
        walked_forwards,
        without_a_on_the_way_back,
        first_left_out,
        first_of_the_first_user,
        grad_for_g,
        one_step_back_only,
        b_never_stored,
        a_never_stored,
    ),
    title="The scan, backwards",
    kind="fill in",
    stars=3,
    minutes=15,
    hints=(
        "Walk as in the sum from the end. One variable, zero at the beginning, holds what flows "
        "back from the position after: a times g of that position.",
        "At each position: load a and grad, add up g, store it as b's gradient, load the state "
        "before, store a's gradient, and only then bring the variable up to date.",
        "The state before lies D numbers earlier. Before the first position there is none. With "
        "`for step in range(N)` that is the last step: that load's mask also asks for "
        "step < N - 1, and it has other=0.0.",
    ),
)


# 12.5 The third stage: every chunk walks again from the state that enters it, [B, C, D].


def walk_again(a, b, entering):
    B, N, D = b.shape
    C = entering.shape[1]
    h = entering  # all chunks at once
    states = []
    for t in range(N // C):
        h = a.reshape(B, C, N // C, D)[:, :, t] * h + b.reshape(B, C, N // C, D)[:, :, t]
        states.append(h)
    return torch.stack(states, dim=2).reshape(B, N, D)


@mistake("every chunk begins with 0: that is the local walk. Load the state that enters it.")
def from_zero(a, b, entering):
    return walk_again(a, b, torch.zeros_like(entering))


@mistake("every chunk begins with what enters the first one. Where does its own entry lie?")
def first_chunks_entry(a, b, entering):
    return walk_again(a, b, entering[:, :1].expand_as(entering))


@mistake("what enters is added to the local walk. It is multiplied by each a on its way.")
def entry_added(a, b, entering):
    C = entering.shape[1]
    return from_zero.answer(a, b, entering) + entering.repeat_interleave(b.shape[1] // C, dim=1)


@mistake("you store the state before it is brought up to date.")
def stored_before_the_step(a, b, entering):
    C = entering.shape[1]
    B, N, D = b.shape
    h = walk_again(a, b, entering).reshape(B, C, N // C, D)
    return torch.cat([entering[:, :, None], h[:, :, :-1]], dim=2).reshape(B, N, D)


@mistake("the entry is a chunk's only: [B, C, D]. At which of its places does a user's first lie?")
def entries_of_the_first_user(a, b, entering):
    return walk_again(a, b, entering[:1].expand_as(entering))


def chunked(seed, B, N, D, C):
    return in_float32(seed, (B, N, D), (B, N, D), (B, C, D))


CHUNK_WALKS = Exercise(
    solution=walk_again,
    cases=(chunked(9, 2, 6, 3, 3), chunked(10, 1, 8, 2, 2), chunked(11, 3, 4, 2, 4)),
    mistakes=(
        from_zero,
        first_chunks_entry,
        entry_added,
        stored_before_the_step,
        entries_of_the_first_user,
    ),
    title="The third stage",
    kind="extend",
    stars=2,
    minutes=10,
    hints=(
        "`chunk_ends` has nearly all of it. Which of its variables does this stage not need, and "
        "which store moves into the loop?",
        "What enters a chunk lies where `chunk_ends` stores a chunk's end: at `place`.",
        "Load h from there before the loop. In the loop: load a and b, bring h up to date, store "
        "it at `here`, go on by D.",
    ),
)

# 12.6 Bytes per element, forward, of the scan and y = SiLU(z) * h, with h kept: unfused and fused.

FUSED_BYTES = predicted(
    (32, 20),
    {
        (32, 16): "the backward walk needs h, so the fused kernel has to write it too.",
        (24, 20): "unfused, SiLU is a kernel of its own: it reads z and writes its result, which "
        "the product reads again.",
        (24, 16): "two things are missing: unfused, SiLU is a kernel of its own; fused, h is "
        "written too, for the backward walk.",
        (32, 24): "fused, h is not read again: it is in a register when y is computed.",
        (32, 28): "fused, h and SiLU(z) are in registers when y is computed. Which tensors come "
        "from memory at all?",
        (
            28,
            20,
        ): "unfused, count SiLU's kernel and the product's each with all they read and write.",
        (36, 20): "unfused, the scan reads a and b only, SiLU reads z only, the product reads two.",
        (8, 5): "those are numbers. Each has 4 bytes.",
        (20, 32): "the right numbers in the wrong order: first unfused, then fused.",
        (32, 32): "fused, each tensor is read once or written once, and what stays inside the "
        "kernel is neither.",
    },
    title="One gate more",
    stars=2,
    minutes=6,
    hints=(
        "List the three kernels of the unfused way, and for each the tensors that it reads and "
        "writes.",
        "The fused kernel reads what comes from outside, and writes what somebody needs later: y "
        "for the next layer, and something for the backward walk.",
    ),
)


EXERCISES = {
    "12.1": TRANSACTIONS,
    "12.2": SUM_FROM_THE_END,
    "12.3": FORWARD,
    "12.4": BACKWARD,
    "12.5": CHUNK_WALKS,
    "12.6": FUSED_BYTES,
}
