/* words: count the words of a text and draw the most frequent ones as bars.
 *
 *     words FILE [N]       N words at most (12 unless told); FILE may be - for standard input
 *
 * The program that `make demo` runs. Rebuild words.wasm with `make -C demo` (needs the Python package ziglang).
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BAR_WIDTH 40

typedef struct Word {
    struct Word *next; /* in the same bucket */
    unsigned long hash;
    unsigned count;
    char text[];
} Word;

typedef struct {
    Word **buckets;
    size_t size; /* a power of two */
    size_t used;
    size_t total; /* words counted, repeats included */
} Table;

static void *must(void *memory) {
    if (memory == NULL) {
        fputs("words: out of memory\n", stderr);
        exit(3);
    }
    return memory;
}

static unsigned long hash_of(const char *text) {
    unsigned long hash = 2166136261u; /* FNV-1a */
    for (; *text; text++) hash = (hash ^ (unsigned char)*text) * 16777619u;
    return hash;
}

static void grow(Table *table) {
    size_t size = table->size ? table->size * 2 : 64;
    Word **buckets = must(calloc(size, sizeof *buckets));
    for (size_t i = 0; i < table->size; i++) {
        for (Word *word = table->buckets[i], *next; word; word = next) {
            next = word->next;
            word->next = buckets[word->hash & (size - 1)];
            buckets[word->hash & (size - 1)] = word;
        }
    }
    free(table->buckets);
    table->buckets = buckets;
    table->size = size;
}

static void count(Table *table, const char *text, size_t length) {
    if (table->used >= table->size) grow(table);
    unsigned long hash = hash_of(text);
    Word **bucket = &table->buckets[hash & (table->size - 1)];
    Word *word = *bucket;
    while (word && (word->hash != hash || strcmp(word->text, text) != 0)) word = word->next;
    if (word == NULL) {
        word = must(malloc(sizeof *word + length + 1));
        *word = (Word){.next = *bucket, .hash = hash};
        memcpy(word->text, text, length + 1);
        *bucket = word;
        table->used++;
    }
    word->count++;
    table->total++;
}

static void read_words(Table *table, FILE *file) {
    char text[64];
    size_t length = 0;
    int c;
    do {
        c = getc(file);
        if (c != EOF && isalpha(c)) {
            if (length < sizeof text - 1) text[length++] = (char)tolower(c);
        } else if (length > 0) {
            text[length] = '\0';
            count(table, text, length);
            length = 0;
        }
    } while (c != EOF);
}

static int by_count(const void *a, const void *b) {
    const Word *x = *(Word *const *)a, *y = *(Word *const *)b;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    return strcmp(x->text, y->text);
}

static void draw(const Table *table, size_t shown) {
    Word **all = must(malloc((table->used + 1) * sizeof *all));
    size_t n = 0;
    for (size_t i = 0; i < table->size; i++)
        for (Word *word = table->buckets[i]; word; word = word->next) all[n++] = word;
    qsort(all, n, sizeof *all, by_count);
    printf("%zu words, %zu different\n", table->total, n);
    for (size_t i = 0; i < n && i < shown; i++) {
        double share = (double)all[i]->count / (double)all[0]->count;
        int bar = (int)(share * BAR_WIDTH + 0.5);
        printf("%12s %5u %5.2f%% %.*s\n", all[i]->text, all[i]->count, 100.0 * all[i]->count / (double)table->total, bar,
               "########################################");
    }
    free(all);
}

int main(int argc, char **argv) {
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: %s FILE [N]\n", argc ? argv[0] : "words");
        return 2;
    }
    FILE *file = strcmp(argv[1], "-") == 0 ? stdin : fopen(argv[1], "r");
    if (file == NULL) {
        fprintf(stderr, "words: %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    Table table = {0};
    read_words(&table, file);
    fclose(file);
    draw(&table, argc > 2 ? strtoul(argv[2], NULL, 10) : 12);
    return 0;
}
