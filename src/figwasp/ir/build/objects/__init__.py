"""The builder's part for objects of the heap: structures and arrays (spec 4.4.4 of Wasm 3.0)."""
