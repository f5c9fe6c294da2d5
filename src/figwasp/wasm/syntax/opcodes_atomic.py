"""Rows of the instruction table: atomic accesses (proposal threads), with the columns that `opcodes.py` describes. Floor 1."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


__all__ = ["TABLE"]

TABLE: Final = """
# name                        code    immediates  type                    proposal  ir
memory.atomic.notify          fe:00   memarg:2    addr i32 -> i32         threads   -
memory.atomic.wait32          fe:01   memarg:2    addr i32 i64 -> i32     threads   -
memory.atomic.wait64          fe:02   memarg:3    addr i64 i64 -> i32     threads   -
atomic.fence                  fe:03   zero        ->                      threads   -
i32.atomic.load               fe:10   memarg:2    addr -> i32             threads   -
i64.atomic.load               fe:11   memarg:3    addr -> i64             threads   -
i32.atomic.load8_u            fe:12   memarg:0    addr -> i32             threads   -
i32.atomic.load16_u           fe:13   memarg:1    addr -> i32             threads   -
i64.atomic.load8_u            fe:14   memarg:0    addr -> i64             threads   -
i64.atomic.load16_u           fe:15   memarg:1    addr -> i64             threads   -
i64.atomic.load32_u           fe:16   memarg:2    addr -> i64             threads   -
i32.atomic.store              fe:17   memarg:2    addr i32 ->             threads   -
i64.atomic.store              fe:18   memarg:3    addr i64 ->             threads   -
i32.atomic.store8             fe:19   memarg:0    addr i32 ->             threads   -
i32.atomic.store16            fe:1a   memarg:1    addr i32 ->             threads   -
i64.atomic.store8             fe:1b   memarg:0    addr i64 ->             threads   -
i64.atomic.store16            fe:1c   memarg:1    addr i64 ->             threads   -
i64.atomic.store32            fe:1d   memarg:2    addr i64 ->             threads   -
i32.atomic.rmw.add            fe:1e   memarg:2    addr i32 -> i32         threads   -
i64.atomic.rmw.add            fe:1f   memarg:3    addr i64 -> i64         threads   -
i32.atomic.rmw8.add_u         fe:20   memarg:0    addr i32 -> i32         threads   -
i32.atomic.rmw16.add_u        fe:21   memarg:1    addr i32 -> i32         threads   -
i64.atomic.rmw8.add_u         fe:22   memarg:0    addr i64 -> i64         threads   -
i64.atomic.rmw16.add_u        fe:23   memarg:1    addr i64 -> i64         threads   -
i64.atomic.rmw32.add_u        fe:24   memarg:2    addr i64 -> i64         threads   -
i32.atomic.rmw.sub            fe:25   memarg:2    addr i32 -> i32         threads   -
i64.atomic.rmw.sub            fe:26   memarg:3    addr i64 -> i64         threads   -
i32.atomic.rmw8.sub_u         fe:27   memarg:0    addr i32 -> i32         threads   -
i32.atomic.rmw16.sub_u        fe:28   memarg:1    addr i32 -> i32         threads   -
i64.atomic.rmw8.sub_u         fe:29   memarg:0    addr i64 -> i64         threads   -
i64.atomic.rmw16.sub_u        fe:2a   memarg:1    addr i64 -> i64         threads   -
i64.atomic.rmw32.sub_u        fe:2b   memarg:2    addr i64 -> i64         threads   -
i32.atomic.rmw.and            fe:2c   memarg:2    addr i32 -> i32         threads   -
i64.atomic.rmw.and            fe:2d   memarg:3    addr i64 -> i64         threads   -
i32.atomic.rmw8.and_u         fe:2e   memarg:0    addr i32 -> i32         threads   -
i32.atomic.rmw16.and_u        fe:2f   memarg:1    addr i32 -> i32         threads   -
i64.atomic.rmw8.and_u         fe:30   memarg:0    addr i64 -> i64         threads   -
i64.atomic.rmw16.and_u        fe:31   memarg:1    addr i64 -> i64         threads   -
i64.atomic.rmw32.and_u        fe:32   memarg:2    addr i64 -> i64         threads   -
i32.atomic.rmw.or             fe:33   memarg:2    addr i32 -> i32         threads   -
i64.atomic.rmw.or             fe:34   memarg:3    addr i64 -> i64         threads   -
i32.atomic.rmw8.or_u          fe:35   memarg:0    addr i32 -> i32         threads   -
i32.atomic.rmw16.or_u         fe:36   memarg:1    addr i32 -> i32         threads   -
i64.atomic.rmw8.or_u          fe:37   memarg:0    addr i64 -> i64         threads   -
i64.atomic.rmw16.or_u         fe:38   memarg:1    addr i64 -> i64         threads   -
i64.atomic.rmw32.or_u         fe:39   memarg:2    addr i64 -> i64         threads   -
i32.atomic.rmw.xor            fe:3a   memarg:2    addr i32 -> i32         threads   -
i64.atomic.rmw.xor            fe:3b   memarg:3    addr i64 -> i64         threads   -
i32.atomic.rmw8.xor_u         fe:3c   memarg:0    addr i32 -> i32         threads   -
i32.atomic.rmw16.xor_u        fe:3d   memarg:1    addr i32 -> i32         threads   -
i64.atomic.rmw8.xor_u         fe:3e   memarg:0    addr i64 -> i64         threads   -
i64.atomic.rmw16.xor_u        fe:3f   memarg:1    addr i64 -> i64         threads   -
i64.atomic.rmw32.xor_u        fe:40   memarg:2    addr i64 -> i64         threads   -
i32.atomic.rmw.xchg           fe:41   memarg:2    addr i32 -> i32         threads   -
i64.atomic.rmw.xchg           fe:42   memarg:3    addr i64 -> i64         threads   -
i32.atomic.rmw8.xchg_u        fe:43   memarg:0    addr i32 -> i32         threads   -
i32.atomic.rmw16.xchg_u       fe:44   memarg:1    addr i32 -> i32         threads   -
i64.atomic.rmw8.xchg_u        fe:45   memarg:0    addr i64 -> i64         threads   -
i64.atomic.rmw16.xchg_u       fe:46   memarg:1    addr i64 -> i64         threads   -
i64.atomic.rmw32.xchg_u       fe:47   memarg:2    addr i64 -> i64         threads   -
i32.atomic.rmw.cmpxchg        fe:48   memarg:2    addr i32 i32 -> i32     threads   -
i64.atomic.rmw.cmpxchg        fe:49   memarg:3    addr i64 i64 -> i64     threads   -
i32.atomic.rmw8.cmpxchg_u     fe:4a   memarg:0    addr i32 i32 -> i32     threads   -
i32.atomic.rmw16.cmpxchg_u    fe:4b   memarg:1    addr i32 i32 -> i32     threads   -
i64.atomic.rmw8.cmpxchg_u     fe:4c   memarg:0    addr i64 i64 -> i64     threads   -
i64.atomic.rmw16.cmpxchg_u    fe:4d   memarg:1    addr i64 i64 -> i64     threads   -
i64.atomic.rmw32.cmpxchg_u    fe:4e   memarg:2    addr i64 i64 -> i64     threads   -
"""
