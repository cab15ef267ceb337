"""A GPU that is not there, for Triton: kernels are compiled for it, and launches are written down.

    python pretend_gpu.py

Runs every kernel twice on tensors of the CPU, first launched by Triton, then past it, and prints
for each kernel that was compiled its name and the bytes of its machine code; "same" if both
launches hand the same kernel the same arguments; then the Python and C functions called in one
forward scan, in one walk and in chunks.
"""

import sys

import torch
import triton
from triton.backends.compiler import GPUTarget

ARCHITECTURE = 90  # an H100 or H200

# dtype, n_chunks, with_h0, shift. Compiling takes seconds for each: what may be missing, and where
# tensors lie, is tried in one type, and the other types with everything there.
SETTINGS = [
    (torch.float32, 1, False, 0),
    (torch.float32, 1, True, 0),
    (torch.float32, 2, True, 0),
    (torch.float32, 1, True, 1),
    (torch.bfloat16, 2, True, 0),
    (torch.float64, 2, True, 1),
]


class Utilities:
    """What Triton asks of a driver about binaries."""

    def load_binary(self, name, binary, shared, device):
        print("compiled", name, len(binary))
        return object(), f"function {name}", 0, 0, 1024  # module, function, ..., threads at most

    def get_device_properties(self, device):
        return {"max_shared_mem": 1 << 18}


class Driver:
    """A CUDA driver that writes launches down in place of running them."""

    utils = Utilities()

    def __init__(self):
        self.launches = []

    def launcher_cls(self, source, metadata):
        def launch(*arguments):
            # Grid, stream, function and metadata; what a profiler is told, and its two hooks; the
            # kernel's own arguments.
            self.launches.append((arguments[:6], arguments[9:]))

        return launch

    def get_current_device(self):
        return None  # the index of a tensor's device, on a CPU

    def get_current_stream(self, device):
        return 17

    def get_current_target(self):
        return GPUTarget("cuda", ARCHITECTURE, 32)  # 32 threads in a warp

    def get_device_capability(self, device):
        return divmod(ARCHITECTURE, 10)


def pretend() -> Driver:
    driver = Driver()
    triton.runtime.driver.set_active(driver)
    return driver


def scan_and_bd_lru(dtype, n_chunks, with_h0, shift):
    """Launch every kernel; with `shift` the addresses are not multiples of 16 bytes."""
    from minirec.scan import triton_bd_lru as fused
    from minirec.scan import triton_scan as gpu

    memory = torch.zeros(4096, dtype=dtype)[shift:]
    x = memory[: 2 * 8 * 64].view(2, 8, 64)
    gates = memory[: 2 * 8 * 128].view(2, 8, 128)
    h0 = torch.zeros(2, 64, dtype=dtype) if with_h0 else None
    decay = torch.zeros(64, dtype=torch.promote_types(dtype, torch.float32))
    h = gpu.scan_forward(x, x, h0, n_chunks=n_chunks)
    gpu.scan_backward(x, h, h0, x, n_chunks=n_chunks)
    _, h = fused.bd_lru_forward(gates, x, x, decay, h0)
    fused.bd_lru_backward(gates, x, x, decay, h0, h, x, h0)


def described(launch):
    """A launch without the addresses of tensors, but for where they lie within 16 bytes."""
    before, arguments = launch
    told = []
    for argument in arguments:
        if isinstance(argument, torch.Tensor):
            argument = (argument.dtype, argument.shape, argument.data_ptr() % 16)
        told.append(argument)
    return before, told


def calls_of_a_scan(n_chunks):
    from minirec.scan import triton_scan as gpu

    x = torch.zeros(2, 8, 64)
    gpu.scan_forward(x, x, n_chunks=n_chunks)
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        gpu.scan_forward(x, x, n_chunks=n_chunks)
    finally:
        sys.setprofile(None)
    return calls


def refuse(*arguments, **named):
    raise AssertionError("this launch went through Triton")


def main():
    from minirec.scan import launching

    driver = pretend()
    launch_by_triton = triton.JITFunction.run
    for setting in SETTINGS:
        launching._prepared.clear()
        found = []
        for run in (launch_by_triton, refuse):
            triton.JITFunction.run = run
            driver.launches.clear()
            scan_and_bd_lru(*setting)
            found.append([described(launch) for launch in driver.launches])
        by_triton, past_it = found
        triton.JITFunction.run = launch_by_triton
        _, n_chunks, _, _ = setting
        assert len(by_triton) == (8 if n_chunks == 2 else 4)
        assert by_triton == past_it, found
    print("same")
    print("calls", calls_of_a_scan(n_chunks=1), calls_of_a_scan(n_chunks=2))


if __name__ == "__main__":
    main()
