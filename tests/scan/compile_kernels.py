"""Compiles every Triton kernel for a GPU, down to its machine code, where there need not be one: python compile_kernels.py ARCHITECTURE DTYPE ...

The interpreter, in which the other tests run the kernels, takes types that the compiler refuses. Prints a line a launch: module and name of the kernel, bytes of machine code.
"""

import sys

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from minirec.scan import triton_bd_lru as gpu_bd_lru
from minirec.scan import triton_scan as gpu

TYPES = {
    torch.float64: "fp64",
    torch.float32: "fp32",
    torch.bfloat16: "bf16",
    torch.float16: "fp16",
}


class Compiled:
    """In a kernel's place: a launch compiles it for the arguments it is given, and runs nothing."""

    def __init__(self, kernel, architecture: int):
        self.kernel, self.target = kernel, GPUTarget("cuda", architecture, 32)

    def __getitem__(self, grid):
        def launch(*arguments, num_warps, **constants):
            given = dict(zip(self.kernel.arg_names, arguments)) | constants
            signature = {
                parameter.name: _type(parameter, given[parameter.name])
                for parameter in self.kernel.params
            }
            fixed = {
                (self.kernel.arg_names.index(name),): given[name]
                for name, kind in signature.items()
                if kind == "constexpr"
            }
            made = triton.compile(
                ASTSource(self.kernel, signature, fixed),
                target=self.target,
                options={"num_warps": num_warps},
            )
            print(f"{self.kernel.fn.__module__}.{self.kernel.fn.__name__}", len(made.asm["cubin"]))

        return launch


def _type(parameter, value) -> str:
    if parameter.is_constexpr or value is None:
        return "constexpr"
    return (
        f"*{TYPES[value.dtype]}"
        if isinstance(value, torch.Tensor)
        else parameter.annotation_type or "i32"
    )


def main(architecture: int, dtypes: list[torch.dtype]) -> None:
    for module, names in (
        (gpu, ("_walk", "_walk_back", "_chunk_ends")),
        (gpu_bd_lru, ("_walk", "_walk_back")),
    ):
        for name in names:
            setattr(module, name, Compiled(getattr(module, name), architecture))
    for dtype in dtypes:
        launch_all(dtype)


def launch_all(dtype: torch.dtype) -> None:
    """Every kernel, with and without each of the tensors that may be missing."""
    wide = torch.promote_types(dtype, torch.float32)
    gates, x, h0, decay = (
        torch.zeros(size, dtype=kind)
        for size, kind in (
            ((2, 8, 128), dtype),
            ((2, 8, 64), dtype),
            ((2, 64), dtype),
            ((64,), wide),
        )
    )
    for n_chunks, start in ((1, None), (1, h0), (2, h0)):
        gpu.scan_backward(
            x, gpu.scan_forward(x, x, start, n_chunks=n_chunks), start, x, n_chunks=n_chunks
        )
    for start in (None, h0):
        gpu_bd_lru.bd_lru_backward(
            gates,
            x,
            x,
            decay,
            start,
            gpu_bd_lru.bd_lru_forward(gates, x, x, decay, start)[1],
            x,
            start,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]), [getattr(torch, name) for name in sys.argv[2:]])
