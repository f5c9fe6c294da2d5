from figwasp.codegen.mach import MFunc
from figwasp.codegen.target import Target
def allocate_local(func: MFunc, target: Target) -> int:
    raise NotImplementedError
