// A plug-in in AssemblyScript. What it takes and returns are objects; strings and arrays are made by the functions that
// --exportRuntime exports.
//
// asc greet.ts --exportRuntime -Os -o greet-as.wasm

export function greet(name: string): string {
  return "Hello, " + name + "!";
}

export function sum(data: ArrayBuffer): u32 {
  let total: u32 = 0;
  for (let i = 0; i < data.byteLength; i++) total += load<u8>(changetype<usize>(data) + i);
  return total;
}
