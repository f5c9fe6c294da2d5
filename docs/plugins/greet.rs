//! A plug-in in Rust that takes a string and returns one, as pointer and size in one integer.
//!
//! rustc --target wasm32-unknown-unknown --crate-type cdylib -C opt-level=s -C lto -C strip=symbols -o greet-rust.wasm greet.rs

use std::alloc::{self, Layout};

fn layout(size: usize) -> Layout {
    Layout::array::<u8>(size.max(1)).unwrap()
}

#[no_mangle]
pub extern "C" fn alloc(size: usize) -> *mut u8 {
    unsafe { alloc::alloc(layout(size)) }
}

/// # Safety
/// `pointer` has come from `alloc`, or from a function of this plug-in, with the same size.
#[no_mangle]
pub unsafe extern "C" fn dealloc(pointer: *mut u8, size: usize) {
    alloc::dealloc(pointer, layout(size))
}

/// # Safety
/// The name lies in memory. What is returned is the caller's, to be freed.
#[no_mangle]
pub unsafe extern "C" fn greet(name: *const u8, size: usize) -> u64 {
    let name = String::from_utf8_lossy(std::slice::from_raw_parts(name, size));
    let text = format!("Hello, {name}!").into_bytes().into_boxed_slice();
    (text.as_ptr() as u64) << 32 | Box::leak(text).len() as u64
}
