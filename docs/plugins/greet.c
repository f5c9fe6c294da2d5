/* A plug-in in C that takes a string and returns one, in each of the three ways that are common. With nothing but the compiler:

   clang --target=wasm32 -Os -nostdlib -fno-builtin -Wl,--no-entry,--strip-all -o greet-c.wasm greet.c

   With wasi-libc, which has an allocator; call _initialize() before anything else:

   clang --target=wasm32-wasi -mexec-model=reactor -Os -Wl,--export=malloc,--export=free,--strip-all -o greet-wasi.wasm greet.c */

#include <stddef.h>
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(#name)))

#ifdef __wasi__
#include <stdlib.h>
#else

/* Pieces lie in a row, and the row begins anew when all of them have been freed. */
extern char __heap_base;
static uintptr_t next;
static size_t pieces;

EXPORT(malloc) void *malloc(size_t size) {
    uintptr_t start = pieces ? next : (uintptr_t)&__heap_base;
    uintptr_t piece = (start + 15) & -16, end = piece + size, room = __builtin_wasm_memory_size(0) * 65536;
    if (end < piece || (end > room && __builtin_wasm_memory_grow(0, (end - room + 65535) / 65536) == (size_t)-1))
        return NULL;
    next = end;
    pieces++;
    return (void *)piece;
}

EXPORT(free) void free(void *piece) {
    if (piece)
        pieces--;
}

#endif

static size_t length(const char *text) {
    size_t size = 0;
    while (text[size])
        size++;
    return size;
}

static void copy(char *to, const char *from, size_t size) {
    for (size_t i = 0; i < size; i++)
        to[i] = from[i];
}

/* What is returned is the caller's, to be freed. */
static char *greeting(const char *name, size_t size) {
    char *text = malloc(size + 9);
    if (text) {
        copy(text, "Hello, ", 7);
        copy(text + 7, name, size);
        copy(text + 7 + size, "!", 2);
    }
    return text;
}

/* NUL-terminated, both ways. */
EXPORT(greet_cstr) char *greet_cstr(const char *name) { return greeting(name, length(name)); }

/* Pointer and size in one integer. */
EXPORT(greet_packed) uint64_t greet_packed(const char *name, size_t size) {
    return (uint64_t)(uintptr_t)greeting(name, size) << 32 | (size + 8);
}

/* Pointer and size where the caller says. */
struct text {
    char *pointer;
    size_t size;
};

EXPORT(greet_out) void greet_out(const char *name, size_t size, struct text *out) {
    out->pointer = greeting(name, size);
    out->size = size + 8;
}
