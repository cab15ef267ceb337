"""Loads and stores of Triton kernels are noted as they happen; what a GPU refuses is refused."""

import numpy as np
import pytest
import torch

tl = pytest.importorskip("triton.language")

from minirec import kernel_traffic  # noqa: E402 - notes what Triton's language is when imported


def copy(x_ptr, y_ptr, n, stride, BLOCK: tl.constexpr):
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = lane < n
    tl.store(y_ptr + lane, tl.load(x_ptr + lane * stride, live), live)


def copy_unmasked(x_ptr, y_ptr, BLOCK: tl.constexpr):
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y_ptr + lane, tl.load(x_ptr + lane))


def copy_square(x_ptr, y_ptr, SIDE: tl.constexpr):
    row = tl.arange(0, SIDE)[:, None]
    column = tl.arange(0, SIDE)[None, :]
    tl.store(y_ptr + column * SIDE + row, tl.load(x_ptr + row * SIDE + column))


def write_before(x_ptr, BLOCK: tl.constexpr):
    tl.store(x_ptr + tl.arange(0, BLOCK) - 1, 0.0)


def write_to_one_place(x_ptr, BLOCK: tl.constexpr):
    tl.store(x_ptr + tl.program_id(0) + tl.arange(0, BLOCK) * 0, 1.0)


def every_program_writes_all(x_ptr, BLOCK: tl.constexpr):
    tl.store(x_ptr + tl.arange(0, BLOCK), tl.program_id(1) + 0.0)


def sum_from(x_ptr, y_ptr, n, START: tl.constexpr, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    if START == "zeros":
        total = tl.zeros([BLOCK], tl.float32)
    elif START == "number":
        total = 0.0
    else:
        total = tl.full([BLOCK], 0, tl.int32)
    for t in range(n):
        total += tl.load(x_ptr + t * BLOCK + lane)
    tl.store(y_ptr + lane, total)


def add_atomically(x_ptr, BLOCK: tl.constexpr):
    tl.atomic_add(x_ptr + tl.arange(0, BLOCK), 1.0)


def load_masked(x_ptr, y_ptr, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    tl.store(y_ptr + lane, tl.load(x_ptr + lane, mask=lane > 0))


def to_be_written(x_ptr, BLOCK: tl.constexpr): ...


def begun(x_ptr, BLOCK: tl.constexpr):
    tl.program_id(0)
    ...


def divide(x_ptr, y_ptr):
    tl.store(y_ptr, tl.load(x_ptr) + undefined)  # noqa: F821


def watch_copy(n=32, stride=1, block=32, dtype=torch.float32):
    x = torch.arange(n * stride).to(dtype)
    y = torch.zeros(n, dtype=dtype)
    seen = kernel_traffic.watch(copy, (-(-n // block),), x, y, n, stride, BLOCK=block)
    assert torch.equal(y, x[::stride])
    return seen


def test_each_number_is_counted_once_for_each_read_and_write():
    seen = watch_copy(n=50, block=16)
    assert (seen.reads, seen.writes, seen.bytes) == (50, 50, 400)
    assert seen.of("x_ptr").reads == 50
    assert seen.of("x_ptr").writes == 0


def test_lanes_that_a_mask_switches_off_are_lanes_but_no_reads():
    seen = watch_copy(n=50, block=32).of("x_ptr")
    assert (seen.lanes, seen.reads) == (64, 50)


def test_a_load_whose_lanes_are_all_masked_is_noted():
    x, y = torch.zeros(40), torch.zeros(40)
    seen = kernel_traffic.watch(copy, (3,), x, y, 40, 1, BLOCK=32).of("x_ptr")
    assert (seen.lanes, seen.reads, seen.transactions) == (96, 40, 2)


def test_what_is_asked_of_a_tensor_that_is_not_there_is_refused():
    with pytest.raises(KeyError, match="no tensor is named 'z_ptr': there are x_ptr, y_ptr"):
        watch_copy().of("z_ptr")


def test_one_tensor_given_twice_is_told_apart_by_its_names():
    x = torch.arange(32.0)
    seen = kernel_traffic.watch(copy, (1,), x, x, 32, 1, BLOCK=32)
    assert (seen.of("x_ptr").reads, seen.of("y_ptr").writes) == (32, 32)


@pytest.mark.parametrize("stride", [1, 2, 3, 5, 8, 31, 32, 33, 200])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int16])
def test_a_warp_fetches_each_line_that_its_lanes_touch(stride, dtype):
    size = torch.empty(0, dtype=dtype).element_size()
    lines = {lane * stride * size // 128 for lane in range(32)}
    assert watch_copy(stride=stride, dtype=dtype).of("x_ptr").transactions == len(lines)


def test_two_warps_that_touch_one_line_fetch_it_twice():
    x = torch.zeros(1)
    y = torch.zeros(64)
    seen = kernel_traffic.watch(copy, (1,), x, y, 64, 0, BLOCK=64)
    assert seen.of("x_ptr").transactions == 2


def test_a_view_that_begins_late_is_counted_from_its_own_first_number():
    x = torch.arange(40.0)
    y = torch.zeros(32)
    seen = kernel_traffic.watch(copy, (1,), x[5:37], y, 32, 1, BLOCK=32)
    assert torch.equal(y, x[5:37])
    assert seen.of("x_ptr").accesses[0].places.tolist() == list(range(32))


def test_blocks_of_two_dimensions_are_counted_too():
    x = torch.arange(16.0).reshape(4, 4)
    y = torch.zeros(4, 4)
    seen = kernel_traffic.watch(copy_square, (1,), x, y, SIDE=4)
    assert torch.equal(y, x.T)
    assert (seen.reads, seen.writes) == (16, 16)


def test_accesses_keep_the_order_and_the_program():
    seen = watch_copy(n=8, block=4)
    assert [each.is_write for each in seen.accesses] == [False, True, False, True]
    assert [each.program[0] for each in seen.accesses] == [0, 0, 1, 1]
    assert np.array_equal(seen.accesses[2].places, [4, 5, 6, 7])


@pytest.mark.parametrize(
    "kernel, grid, tensors, constants, says",
    [
        (copy_unmasked, (4,), 2, {"BLOCK": 16}, "program 3, lane 2 reads place 50 of x_ptr"),
        (write_before, (1,), 1, {"BLOCK": 4}, "program 0, lane 0 writes to place -1 of x_ptr"),
    ],
)
def test_a_lane_beyond_its_tensor_is_refused(kernel, grid, tensors, constants, says):
    arguments = [torch.zeros(50) for _ in range(tensors)]
    with pytest.raises(IndexError, match=f"{says}, which has the places 0 to 49"):
        kernel_traffic.watch(kernel, grid, *arguments, **constants)


@pytest.mark.parametrize("first, second", [(0, 1), (1, 0)])
def test_a_lane_that_lands_in_another_argument_is_refused(first, second):
    both = torch.zeros(2, 4)
    with pytest.raises(IndexError, match="reads place 4 of x_ptr, which has the places 0 to 3"):
        kernel_traffic.watch(copy, (1,), both[first], both[second], 2, 4, BLOCK=4)


def test_the_gaps_of_a_view_are_not_its_own():
    x, y = torch.zeros(8), torch.zeros(4, 4)[:, :2]
    with pytest.raises(IndexError, match=r"writes to place 2 of y_ptr.*with gaps between them"):
        kernel_traffic.watch(copy, (1,), x, y, 8, 1, BLOCK=8)
    assert not x.any()


def test_lanes_of_one_store_that_write_one_place_are_refused():
    with pytest.raises(ValueError, match="lanes of program 0 write to place 0 of x_ptr in one"):
        kernel_traffic.watch(write_to_one_place, (2,), torch.zeros(4), BLOCK=4)


def test_programs_that_write_one_place_are_refused():
    with pytest.raises(ValueError, match=r"programs 0 and \(0, 1, 0\) both write to place 0 of x_"):
        kernel_traffic.watch(every_program_writes_all, (1, 2), torch.zeros(4), BLOCK=4)


@pytest.mark.parametrize("start", ["number", "integers"])
def test_a_type_that_changes_along_a_loop_is_refused(start):
    x, y = torch.ones(3, 4), torch.zeros(4)
    with pytest.raises(TypeError, match=r"compiler refuses this kernel: .*Loop-carried .*total"):
        kernel_traffic.watch(sum_from, (1,), x, y, 3, START=start, BLOCK=4)


def test_what_a_kernel_calls_of_tritons_own_library_is_compiled_too():
    x, y = torch.ones(3, 4), torch.zeros(4)
    kernel_traffic.watch(sum_from, (1,), x, y, 3, START="zeros", BLOCK=4)
    assert torch.equal(y, x.sum(0))
    kernel_traffic.watch(sum_from, (1,), x, y, 3, START="zeros", BLOCK=4)  # nothing has stayed


def test_a_masked_lane_gets_no_number_unless_other_says_which():
    x, y = torch.ones(4), torch.zeros(4)
    kernel_traffic.watch(load_masked, (1,), x, y, BLOCK=4)
    assert torch.isnan(y).tolist() == [True, False, False, False]


def test_atomic_operations_are_refused():
    with pytest.raises(NotImplementedError, match="atomic operations are not noted"):
        kernel_traffic.watch(add_atomically, (1,), torch.zeros(4), BLOCK=4)


@pytest.mark.parametrize("kernel, expected", [(to_be_written, True), (begun, False)])
def test_only_an_untouched_kernel_is_a_stub(kernel, expected):
    assert kernel_traffic.is_stub(kernel) == expected


@pytest.mark.parametrize("grid", [2, [2]])
def test_a_grid_that_is_no_tuple_is_refused(grid):
    with pytest.raises(TypeError, match="grid is a tuple"):
        kernel_traffic.watch(copy, grid, torch.zeros(4), torch.zeros(4), 4, 1, BLOCK=4)


def test_a_numpy_array_is_refused():
    with pytest.raises(TypeError, match="x_ptr is a NumPy array"):
        kernel_traffic.watch(copy, (1,), np.zeros(4), torch.zeros(4), 4, 1, BLOCK=4)


def test_an_error_of_the_kernel_is_raised_as_it_is():
    with pytest.raises(NameError, match="undefined"):
        kernel_traffic.watch(divide, (1,), torch.zeros(1), torch.zeros(1))


def test_tensors_elsewhere_are_refused():
    with pytest.raises(ValueError, match="x_ptr is on meta; the interpreter needs it on the CPU"):
        kernel_traffic.watch(copy, (1,), torch.zeros(4, device="meta"), torch.zeros(4), 4, 1, 4)


def test_without_triton_it_says_what_it_needs(monkeypatch):
    monkeypatch.setattr(kernel_traffic.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="needs Triton"):
        kernel_traffic.watch(copy, (1,))
    with pytest.raises(RuntimeError, match="needs Triton"):
        kernel_traffic.bytes_of(int)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the scan's kernels are compiled there")
@pytest.mark.parametrize("n_chunks, forward, backward", [(1, 12, 20), (4, 20, 28)])
def test_the_scans_kernels_move_what_they_must(n_chunks, forward, backward):
    from minirec.scan import triton_scan

    a, b, grad = torch.rand(3, 1, 128, 4)
    h = triton_scan.scan_forward(a, b)

    def walk():
        triton_scan.scan_forward(a, b, n_chunks=n_chunks)

    def walk_back():
        triton_scan.scan_backward(a, h, None, grad, n_chunks=n_chunks)

    # What enters and leaves the chunks comes on top, and the first position has no h before it.
    n = a.numel()
    assert kernel_traffic.bytes_of(walk) == pytest.approx(forward * n, rel=0.05)
    assert kernel_traffic.bytes_of(walk_back) == pytest.approx(backward * n, rel=0.05)


def test_where_no_kernel_is_interpreted_nothing_is_counted():
    assert kernel_traffic.bytes_of(lambda: torch.ones(3) + 1) == 0
