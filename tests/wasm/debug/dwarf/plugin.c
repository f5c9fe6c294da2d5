/* plugin-N.wasm: clang --target=wasm32 -O1 -g -gdwarf-N -fdebug-compilation-dir=/src -nostdlib -Wl,--no-entry plugin.c */
#include "ratio.h"

__attribute__((import_module("env"), import_name("host"))) extern int host(int);

__attribute__((noinline)) static int leaf(int x) {
  int dividend = 100;
  return ratio(dividend, x);
}

__attribute__((export_name("outer"))) int outer(int x) {
  if (x == 7)
    return host(x) + 1;
  return leaf(x) + 1;
}

__attribute__((export_name("deep"))) int deep(int n) {
  if (n == 0)
    return leaf(n);
  return deep(n - 1) + host(n);
}
