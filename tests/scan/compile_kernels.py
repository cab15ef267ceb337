"""Compile every Triton kernel for a GPU, down to its machine code, where there need not be one.

    python compile_kernels.py ARCHITECTURE DTYPE ...

The interpreter, in which the other tests run the kernels, takes types that the compiler refuses.
Prints one line per launch: module and name of the kernel, bytes of machine code.
"""

import sys

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from minirec.scan import triton_bd_lru as fused
from minirec.scan import triton_scan as gpu

TYPES = {
    torch.float64: "fp64",
    torch.float32: "fp32",
    torch.bfloat16: "bf16",
    torch.float16: "fp16",
}
KERNELS = [
    (gpu, "_walk"),
    (gpu, "_walk_back"),
    (gpu, "_chunk_ends"),
    (fused, "_walk"),
    (fused, "_walk_back"),
]


class Compiled:
    """In a kernel's place: a launch compiles it for the arguments it is given, and runs nothing."""

    def __init__(self, kernel, architecture: int):
        self.kernel = kernel
        self.target = GPUTarget("cuda", architecture, 32)  # 32 threads in a warp

    def __getitem__(self, grid):
        return self.compile

    def compile(self, *arguments, num_warps):
        # All arguments come by position.
        names = self.kernel.arg_names
        given = dict(zip(names, arguments, strict=True))

        signature = {}
        constants = {}
        for position, parameter in enumerate(self.kernel.params):
            value = given[parameter.name]
            signature[parameter.name] = _type(parameter, value)
            if signature[parameter.name] == "constexpr":
                constants[(position,)] = value

        source = ASTSource(self.kernel, signature, constants)
        options = {"num_warps": num_warps}
        made = triton.compile(source, target=self.target, options=options)
        function = self.kernel.fn
        print(f"{function.__module__}.{function.__name__}", len(made.asm["cubin"]))


def _type(parameter, value) -> str:
    """How Triton names the type of a kernel's argument."""
    if parameter.is_constexpr or value is None:
        return "constexpr"
    if isinstance(value, torch.Tensor):
        return f"*{TYPES[value.dtype]}"  # a pointer
    return parameter.annotation_type or "i32"


def main(architecture: int, dtypes: list[torch.dtype]) -> None:
    for module, name in KERNELS:
        setattr(module, name, Compiled(getattr(module, name), architecture))
    for dtype in dtypes:
        launch_all(dtype)


def launch_all(dtype: torch.dtype) -> None:
    """Launch every kernel, with and without each of the tensors that may be missing."""
    gates = torch.zeros(2, 8, 128, dtype=dtype)
    x = torch.zeros(2, 8, 64, dtype=dtype)
    h0 = torch.zeros(2, 64, dtype=dtype)
    decay = torch.zeros(64, dtype=torch.promote_types(dtype, torch.float32))

    for n_chunks, start in ((1, None), (1, h0), (2, h0)):
        h = gpu.scan_forward(x, x, start, n_chunks=n_chunks)
        gpu.scan_backward(x, h, start, x, n_chunks=n_chunks)
    for start in (None, h0):
        _, h = fused.bd_lru_forward(gates, x, x, decay, start)
        fused.bd_lru_backward(gates, x, x, decay, start, h, x, start)


if __name__ == "__main__":
    main(int(sys.argv[1]), [getattr(torch, name) for name in sys.argv[2:]])
