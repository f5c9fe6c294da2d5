"""The x86-64 instruction table: every row against GNU as, and what is derived from a row."""

from __future__ import annotations

import pytest

from figwasp.codegen.isa.rows import Row
from figwasp.codegen.isa.x64 import insts as x
from figwasp.codegen.isa.x64 import insts_vector as v
from figwasp.codegen.isa.x64.assemble import X64Assembler
from figwasp.codegen.isa.x64.encode import encode, encode_fields
from figwasp.codegen.isa.x64.registers import CC_FEQ, CC_FNE, R12, RAX, RBP, RCX, RDX, RSI, RSP, XMM1
from figwasp.codegen.mach import FIRST_ROW, NONE, VIRTUAL, MBlock, MFunc, MInst
from figwasp.ir.func import CONV_WASM
from tests.codegen.isa.binutils import assemble, cases, shorter_elsewhere, spelling

PLAIN = [row for row in x.TABLE if row.number != x.SETCC32_R]


@pytest.fixture(scope="module")
def assembled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Map each spelling to the bytes that GNU as makes of it."""
    lines: dict[str, bytes] = {}
    for row in PLAIN:
        for inst in cases(row):
            if not shorter_elsewhere(row, inst):
                lines[spelling(row, inst)] = b""
    found = assemble(list(lines), tmp_path_factory.mktemp("as"))
    assert len(found) == len(lines)
    return dict(zip(lines, found))


@pytest.mark.parametrize("row", PLAIN, ids=lambda row: row.name)
def test_encoding_is_that_of_binutils(row: Row, assembled: dict[str, bytes]) -> None:
    compared = 0
    for inst in cases(row):
        if not shorter_elsewhere(row, inst):
            text = spelling(row, inst)
            assert encode(inst).hex() == assembled[text].hex(), text
            compared += 1
    assert compared


def test_conditions_that_take_a_sequence() -> None:
    assert encode_fields(x.SETCC32_R, RSI, imm=4).hex() == "400f94c6" + "400fb6f6"
    widen = encode_fields(x.MOVZX8_RR, RDX, RDX)
    equal = encode_fields(x.SETCC_R, RDX, imm=4) + encode_fields(x.SETCC_R, 11, imm=11)
    assert encode_fields(x.SETCC32_R, RDX, imm=CC_FEQ) == equal + encode_fields(x.AND32_RR, RDX, RDX, 11) + widen
    unequal = encode_fields(x.SETCC_R, RDX, imm=5) + encode_fields(x.SETCC_R, 11, imm=10)
    assert encode_fields(x.SETCC32_R, RDX, imm=CC_FNE) == unequal + encode_fields(x.OR32_RR, RDX, RDX, 11) + widen
    both = [encode_fields(x.CMOV64_RR, RDX, RDX, RCX, imm=condition) for condition in (5, 10)]
    assert encode_fields(x.CMOV64_RR, RDX, RDX, RCX, imm=CC_FNE) == both[0] + both[1]


def test_emission_gives_the_same_bytes_as_the_encoder() -> None:
    insts = [inst for row in x.TABLE if row.mnemonic != "setcc32" for inst in cases(row)]
    for _ in range(2):  # a miss, then a hit of the memo
        block = MBlock(0)
        block.code = insts
        func = MFunc("f", 0, CONV_WASM)
        func.blocks = [block]
        assembler = X64Assembler(func)
        assembler.block(block)
        assert bytes(assembler.buf) == b"".join(encode(inst) for inst in insts)


def test_every_row_has_its_constant_or_follows_from_one_that_has() -> None:
    constants = {**vars(v), **vars(x)}
    derived = 0
    for row in x.TABLE:
        assert x.ROWS.names[row.number] == row.name.lower()
        if row.name in constants:
            assert constants[row.name] == row.number
        else:
            derived += 1
            base = row.name.removeprefix("V") if row.feature == "avx" else row.name
            assert base in constants or constants[base.removesuffix("_M")]
    assert len(x.ROWS.names) == len(x.TWINS) == FIRST_ROW + len(x.TABLE)
    assert derived == len({row.name for row in x.TABLE} - constants.keys())


def test_twins() -> None:
    """A row with VEX prefix does the same, with a destination of its own, and has the twin of the memory form."""
    rows = x.ROWS
    compared = 0
    for op, twin in enumerate(x.TWINS):
        if op != twin:
            compared += 1
            assert x.TWINS[twin] == twin
            assert rows.names[twin] == "v" + rows.names[op] and not rows.tied[twin]
            for column in (rows.defines, rows.memory, rows.stores, rows.width, rows.flags, rows.immediate, rows.reads):
                assert column[twin] == column[op]
            if rows.spill_rm[op] >= 0:
                assert rows.spill_rm[twin] == x.TWINS[rows.spill_rm[op]]
    assert compared > 300
    assert (rows.tied[x.TWINS[v.PADDB]], rows.reads[x.TWINS[v.PADDB]]) == (False, 3)
    assert (rows.tied[x.TWINS[v.PSRLW_I]], rows.reads[x.TWINS[v.PSRLW_I]]) == (False, 1)


def test_a_fourth_operand_is_in_the_field_of_an_index() -> None:
    rows = x.ROWS
    assert (rows.reads[v.VPBLENDVB], rows.tied[v.VPBLENDVB], rows.memory[v.VPBLENDVB]) == (7, False, False)
    assert (rows.reads[v.VFMADD231PS], rows.tied[v.VFMADD231PS], rows.spill_rm[v.VFMADD231PS]) == (7, True, -1)


def test_columns() -> None:
    rows = x.ROWS
    add = x.ADD32_RR
    assert (rows.defines[add], rows.tied[add], rows.reads[add], rows.flags[add]) == (True, True, 3, True)
    assert rows.spill_rm[add] == x.ADD32_RM and rows.spill_rn[add] == -1
    move = x.MOV64_RR
    assert (rows.defines[move], rows.tied[move], rows.reads[move], rows.flags[move]) == (True, False, 1, False)
    assert rows.spill_rn[move] == x.MOV64_RM and rows.spill_rm[move] == -1
    compare = x.CMP32_RR
    assert not rows.defines[compare] and rows.reads[compare] == 3
    assert (rows.spill_rn[compare], rows.spill_rm[compare]) == (x.CMP32_MR, x.CMP32_RM)
    store = x.MOV16_MR
    assert (rows.memory[store], rows.stores[store], rows.width[store], rows.reads[store]) == (True, True, 2, 7)
    assert not rows.stores[x.CMP64_MR] and rows.memory[x.CMP64_MR] and not rows.defines[x.CMP64_MR]
    divide = x.IDIV64_R
    assert rows.implicit_uses[divide] == rows.implicit_defs[divide] == 1 << RAX | 1 << RDX
    assert rows.implicit_uses[x.SHL32_RC] == 1 << RCX and rows.implicit_defs[x.CQO] == 1 << RDX
    assert rows.spill_rm[x.ANDPS_RR] == x.ANDPS_RM and rows.width[x.ANDPS_RM] == 16  # for types of 16 bytes only
    assert rows.reads[x.ZERO32_R] == 0 and rows.reads[x.ZEROPS_R] == 0 and rows.reads[x.LEA64_RM] == 6
    assert rows.width[x.LEA64_RM] == 0 and rows.width[x.MOVZX8_RM] == 1
    assert rows.tied[x.CVTSI2SD32_RR] and rows.spill_rm[x.CVTSI2SD32_RR] == x.CVTSI2SD32_RM


def test_spill_forms_read_the_same_and_only_their_width() -> None:
    rows = x.ROWS
    for row in x.TABLE:
        for spill in (rows.spill_rm[row.number], rows.spill_rn[row.number]):
            if spill >= 0:
                assert rows.memory[spill] and not rows.stores[spill] and 1 <= rows.width[spill] <= 16
                assert rows.defines[spill] == rows.defines[row.number] and rows.tied[spill] == rows.tied[row.number]
                assert x.TABLE[spill - FIRST_ROW].mnemonic == row.mnemonic


@pytest.mark.parametrize(
    "inst",
    [
        MInst(x.ADD32_RR, RAX, RCX, RDX),  # tied registers differ
        MInst(x.ADD32_RR, RAX, RAX, XMM1),  # wrong class
        MInst(x.ADD32_RR, RAX, RAX, NONE),
        MInst(x.MOV64_RM, RAX, NONE, VIRTUAL),
        MInst(x.MOV64_RM, RAX, NONE, RBP, RSP),  # rsp is no index
        MInst(x.MOV64_RM, RAX, NONE, R12, NONE, 1),
        MInst(x.ADD64_RI, RAX, RAX, imm=0x80000000),  # would be sign-extended
        MInst(x.MOV32_RI, RAX, imm=1 << 32),
        MInst(x.MOV8_MI, NONE, NONE, RAX, imm=256),
        MInst(x.SETCC_R, RAX, imm=CC_FEQ),
        MInst(x.CMOV32_RR, RAX, RAX, RCX, imm=CC_FEQ),
    ],
)
def test_operands_that_do_not_fit_are_refused(inst: MInst) -> None:
    with pytest.raises(ValueError, match="_R|_M"):
        encode(inst)
