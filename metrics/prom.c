#include "metrics/prom.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/error.h"
#include "metrics/lock.h"
#include "metrics/text.h"

#define PROM_CHUNK_CELLS 512
#define PROM_MAX_CHUNKS 4096
#define PROM_KNOWN_SLOTS 1024 /* per thread: label sets it has met, by hash */
#define PROM_MAX_KEY (PROM_MAX_LABELS * (PROM_MAX_VALUE + 1))
#define PROM_TABLE_SLOTS 4096

enum prom_kind { PROM_COUNTER, PROM_GAUGE, PROM_HISTOGRAM };
enum prom_buckets { PROM_NONE, PROM_SECONDS };

static const double prom_bounds[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                     0.25,   0.5,   1.0,    2.5,   5.0,  10.0,  30.0};
#define PROM_BOUNDS GH_COUNT(prom_bounds)
/* Cells of a histogram: its buckets, the one for +Inf, and the sum as the bits of a double. */
#define PROM_HISTOGRAM_CELLS (PROM_BOUNDS + 2)

struct prom_row {
    const char *name;
    const char *help;
    enum prom_kind kind;
    const char *labels[PROM_MAX_LABELS + 1];
};

static const struct prom_row prom_rows[PROM_FAMILY_COUNT] = {
#define PROM_FAMILY(id, family, type, buckets, text, ...)                                          \
    [PROM_##id] = {family, text, PROM_##type, {__VA_ARGS__}},
#include "metrics/prom.def"
#undef PROM_FAMILY
};

struct prom_series {
    enum prom_family family;
    uint32_t cell; /* the first of its cells in every thread's table */
    uint64_t hash;
    bool is_hidden; /* a gauge that was cleared; its memory is used again */
    bool has_value; /* a gauge that was set */
    double value;
    struct prom_series *next; /* in its slot of the table */
    struct prom_series *next_in_family;
    size_t key_len;
    char key[]; /* label values, each with its NUL */
};

typedef _Atomic uint64_t prom_cell;

struct prom_thread {
    _Atomic(prom_cell *) chunks[PROM_MAX_CHUNKS];
    struct prom_series *known[PROM_KNOWN_SLOTS]; /* written and read by its thread alone */
    struct prom *prom;
    struct prom_thread *next;
    bool is_used; /* under the lock: a thread that ended leaves its cells to the next */
};

struct prom {
    struct lock lock;
    pthread_key_t mine;
    struct prom_thread *threads;
    struct prom_series *table[PROM_TABLE_SLOTS];
    struct prom_series *first[PROM_FAMILY_COUNT];
    struct prom_series *last[PROM_FAMILY_COUNT];
    unsigned count[PROM_FAMILY_COUNT];
    uint32_t cells; /* given out so far */
};

static size_t prom_label_count(enum prom_family family)
{
    size_t count = 0;

    while (prom_rows[family].labels[count] != NULL) {
        count++;
    }
    return count;
}

/* Runs when a thread ends, before prom_free() by contract. */
static void prom_thread_leave(void *arg)
{
    struct prom_thread *thread = arg;

    LOCK_HOLD(&thread->prom->lock);
    thread->is_used = false;
}

bool prom_new(struct prom **out, struct gh_error *err)
{
    struct prom *prom = calloc(1, sizeof(*prom));

    if (prom == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    if (pthread_key_create(&prom->mine, prom_thread_leave) != 0) {
        free(prom);
        return gh_fail(err, GH_INTERNAL_ERROR, "no thread key is left");
    }
    lock_init(&prom->lock, GH_RANK_METRICS);
    *out = prom;
    return true;
}

void prom_free(struct prom *prom)
{
    if (prom == NULL) {
        return;
    }
    (void)pthread_key_delete(prom->mine);
    while (prom->threads != NULL) {
        struct prom_thread *thread = prom->threads;

        prom->threads = thread->next;
        for (size_t i = 0; i < PROM_MAX_CHUNKS; i++) {
            free((void *)atomic_load_explicit(&thread->chunks[i], memory_order_relaxed));
        }
        free(thread);
    }
    for (int family = 0; family < PROM_FAMILY_COUNT; family++) {
        while (prom->first[family] != NULL) {
            struct prom_series *series = prom->first[family];

            prom->first[family] = series->next_in_family;
            free(series);
        }
    }
    lock_done(&prom->lock);
    free(prom);
}

/* The calling thread's cells; those of a thread that ended are taken over. */
static struct prom_thread *prom_here(struct prom *prom)
{
    struct prom_thread *thread = pthread_getspecific(prom->mine);

    if (thread != NULL) {
        return thread;
    }
    LOCK_HOLD(&prom->lock);
    for (thread = prom->threads; thread != NULL && thread->is_used; thread = thread->next) {
    }
    if (thread == NULL) {
        thread = calloc(1, sizeof(*thread));
        if (thread == NULL) {
            return NULL;
        }
        thread->prom = prom;
        thread->next = prom->threads;
        prom->threads = thread;
    }
    if (pthread_setspecific(prom->mine, thread) != 0) {
        return NULL;
    }
    thread->is_used = true;
    return thread;
}

static prom_cell *prom_cell_at(struct prom_thread *thread, uint32_t cell, bool create)
{
    _Atomic(prom_cell *) *slot = &thread->chunks[cell / PROM_CHUNK_CELLS];
    prom_cell *chunk = atomic_load_explicit(slot, memory_order_acquire);

    if (chunk == NULL) {
        if (!create) {
            return NULL;
        }
        chunk = calloc(PROM_CHUNK_CELLS, sizeof(*chunk));
        if (chunk == NULL) {
            return NULL;
        }
        atomic_store_explicit(slot, chunk, memory_order_release);
    }
    return &chunk[cell % PROM_CHUNK_CELLS];
}

/* FNV-1a over eight bytes at a time, and at the end over what is left: a request looks up half a
 * dozen series, and byte by byte that waits for two hundred multiplications. */
static uint64_t prom_hash(uint64_t h, const char *key, size_t len)
{
    uint64_t word = 0;

    for (; len >= sizeof(word); key += sizeof(word), len -= sizeof(word)) {
        memcpy(&word, key, sizeof(word));
        h = (h ^ word) * 0x100000001b3u;
        h ^= h >> 29;
    }
    word = 0;
    memcpy(&word, key, len);
    h = (h ^ word) * 0x100000001b3u;
    return h ^ (h >> 32);
}

/* Label values one after the other, each with its NUL, and their hash. */
static size_t prom_key(enum prom_family family, const char *const *labels, char *key,
                       uint64_t *hash)
{
    size_t count = prom_label_count(family);
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        const char *value = labels != NULL && labels[i] != NULL ? labels[i] : "";
        size_t len = strnlen(value, PROM_MAX_VALUE);

        memcpy(key + used, value, len);
        key[used + len] = '\0';
        used += len + 1;
    }
    *hash = prom_hash(0xcbf29ce484222325u ^ (uint64_t)family, key, used);
    return used;
}

static bool prom_is(const struct prom_series *series, enum prom_family family, const char *key,
                    size_t key_len, uint64_t hash)
{
    return series->hash == hash && series->family == family && series->key_len == key_len &&
           memcmp(series->key, key, key_len) == 0;
}

static struct prom_series *prom_find(struct prom *prom, enum prom_family family, const char *key,
                                     size_t key_len, uint64_t hash)
{
    struct prom_series *series = prom->table[hash % PROM_TABLE_SLOTS];

    while (series != NULL && !prom_is(series, family, key, key_len, hash)) {
        series = series->next;
    }
    return series;
}

/* The lock is held. */
static struct prom_series *prom_create(struct prom *prom, enum prom_family family, const char *key,
                                       size_t key_len, uint64_t hash)
{
    uint32_t cells = prom_rows[family].kind == PROM_HISTOGRAM ? PROM_HISTOGRAM_CELLS : 1;
    uint32_t first = prom->cells;
    struct prom_series *series;

    if (first % PROM_CHUNK_CELLS + cells > PROM_CHUNK_CELLS) {
        first += PROM_CHUNK_CELLS - first % PROM_CHUNK_CELLS; /* a histogram stays in one chunk */
    }
    if (first + cells > PROM_MAX_CHUNKS * PROM_CHUNK_CELLS) {
        return NULL;
    }
    series = calloc(1, sizeof(*series) + key_len);
    if (series == NULL) {
        return NULL;
    }
    prom->cells = first + cells;
    series->family = family;
    series->cell = first;
    series->hash = hash;
    series->key_len = key_len;
    memcpy(series->key, key, key_len);
    series->next = prom->table[hash % PROM_TABLE_SLOTS];
    prom->table[hash % PROM_TABLE_SLOTS] = series;
    if (prom->last[family] != NULL) {
        prom->last[family]->next_in_family = series;
    } else {
        prom->first[family] = series;
    }
    prom->last[family] = series;
    prom->count[family]++;
    return series;
}

/* The lock is held. Past the family's cap every label set is the one named "overflow". */
static struct prom_series *prom_intern(struct prom *prom, enum prom_family family, const char *key,
                                       size_t key_len, uint64_t hash)
{
    static const char *const overflow[PROM_MAX_LABELS] = {"overflow", "overflow", "overflow",
                                                          "overflow", "overflow"};
    struct prom_series *series = prom_find(prom, family, key, key_len, hash);
    char other[PROM_MAX_KEY];

    if (series != NULL) {
        return series;
    }
    if (prom->count[family] < PROM_MAX_SERIES) {
        return prom_create(prom, family, key, key_len, hash);
    }
    key_len = prom_key(family, overflow, other, &hash);
    series = prom_find(prom, family, other, key_len, hash);
    return series != NULL ? series : prom_create(prom, family, other, key_len, hash);
}

struct prom_series *prom_series_get(struct prom *prom, enum prom_family family,
                                    const char *const *labels)
{
    char key[PROM_MAX_KEY];
    struct prom_thread *thread;
    struct prom_series **known;
    struct prom_series *series;
    uint64_t hash;
    size_t len;

    if (prom == NULL || (thread = prom_here(prom)) == NULL) {
        return NULL;
    }
    len = prom_key(family, labels, key, &hash);
    known = &thread->known[hash % PROM_KNOWN_SLOTS];
    if (*known != NULL && prom_is(*known, family, key, len, hash)) {
        return *known;
    }
    LOCK_HOLD(&prom->lock);
    series = prom_intern(prom, family, key, len, hash);
    if (series != NULL && series->hash == hash) {
        *known = series;
    }
    return series;
}

/* One writer per cell, so a load and a store are enough; atomics only because a scrape reads. */
static void prom_bump(prom_cell *cell, uint64_t delta)
{
    uint64_t value = atomic_load_explicit(cell, memory_order_relaxed);

    atomic_store_explicit(cell, value + delta, memory_order_relaxed);
}

void prom_series_add(struct prom *prom, const struct prom_series *series, uint64_t delta)
{
    struct prom_thread *thread;
    prom_cell *cell;

    if (prom == NULL || series == NULL || (thread = prom_here(prom)) == NULL) {
        return;
    }
    cell = prom_cell_at(thread, series->cell, true);
    if (cell != NULL) {
        prom_bump(cell, delta);
    }
}

static double prom_from_bits(uint64_t bits)
{
    double value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static uint64_t prom_to_bits(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

void prom_series_observe(struct prom *prom, const struct prom_series *series, double seconds)
{
    struct prom_thread *thread;
    prom_cell *cell;
    size_t bucket = 0;
    double sum;

    if (prom == NULL || series == NULL || !isfinite(seconds) ||
        (thread = prom_here(prom)) == NULL) {
        return;
    }
    cell = prom_cell_at(thread, series->cell, true);
    if (cell == NULL) {
        return;
    }
    while (bucket < PROM_BOUNDS && seconds > prom_bounds[bucket]) {
        bucket++;
    }
    prom_bump(&cell[bucket], 1);
    sum = prom_from_bits(atomic_load_explicit(&cell[PROM_BOUNDS + 1], memory_order_relaxed));
    atomic_store_explicit(&cell[PROM_BOUNDS + 1], prom_to_bits(sum + seconds),
                          memory_order_relaxed);
}

void prom_add(struct prom *prom, enum prom_family family, const char *const *labels, uint64_t delta)
{
    prom_series_add(prom, prom_series_get(prom, family, labels), delta);
}

void prom_observe(struct prom *prom, enum prom_family family, const char *const *labels,
                  double seconds)
{
    prom_series_observe(prom, prom_series_get(prom, family, labels), seconds);
}

void prom_shift(struct prom *prom, enum prom_family family, const char *const *labels,
                int64_t delta)
{
    prom_series_add(prom, prom_series_get(prom, family, labels), (uint64_t)delta);
}

/* A hidden series of the family that may take new labels. The lock is held. */
static struct prom_series *prom_reuse(struct prom *prom, enum prom_family family, const char *key,
                                      size_t key_len, uint64_t hash)
{
    for (struct prom_series *s = prom->first[family]; s != NULL; s = s->next_in_family) {
        struct prom_series **link;

        if (!s->is_hidden || s->key_len != key_len) {
            continue;
        }
        link = &prom->table[s->hash % PROM_TABLE_SLOTS];
        while (*link != s) {
            link = &(*link)->next;
        }
        *link = s->next;
        memcpy(s->key, key, key_len);
        s->hash = hash;
        s->next = prom->table[hash % PROM_TABLE_SLOTS];
        prom->table[hash % PROM_TABLE_SLOTS] = s;
        return s;
    }
    return NULL;
}

void prom_set(struct prom *prom, enum prom_family family, const char *const *labels, double value)
{
    char key[PROM_MAX_KEY];
    struct prom_series *series;
    uint64_t hash;
    size_t len;

    if (prom == NULL) {
        return;
    }
    len = prom_key(family, labels, key, &hash);
    LOCK_HOLD(&prom->lock);
    series = prom_find(prom, family, key, len, hash);
    if (series == NULL) {
        series = prom_reuse(prom, family, key, len, hash);
    }
    if (series == NULL) {
        series = prom_intern(prom, family, key, len, hash);
    }
    if (series != NULL) {
        series->value = value;
        series->has_value = true;
        series->is_hidden = false;
    }
}

void prom_clear(struct prom *prom, enum prom_family family)
{
    if (prom == NULL) {
        return;
    }
    LOCK_HOLD(&prom->lock);
    for (struct prom_series *s = prom->first[family]; s != NULL; s = s->next_in_family) {
        s->is_hidden = true;
        s->has_value = false;
    }
}

/* Sum cell number INDEX of a series over all threads. The lock is held. */
static uint64_t prom_sum(struct prom *prom, const struct prom_series *series, size_t index)
{
    uint64_t sum = 0;

    for (struct prom_thread *thread = prom->threads; thread != NULL; thread = thread->next) {
        prom_cell *cell = prom_cell_at(thread, series->cell, false);

        if (cell != NULL) {
            sum += atomic_load_explicit(&cell[index], memory_order_relaxed);
        }
    }
    return sum;
}

static double prom_sum_seconds(struct prom *prom, const struct prom_series *series)
{
    double sum = 0;

    for (struct prom_thread *thread = prom->threads; thread != NULL; thread = thread->next) {
        prom_cell *cell = prom_cell_at(thread, series->cell, false);

        if (cell != NULL) {
            sum +=
                prom_from_bits(atomic_load_explicit(&cell[PROM_BOUNDS + 1], memory_order_relaxed));
        }
    }
    return sum;
}

static double prom_gauge(struct prom *prom, const struct prom_series *series)
{
    return series->has_value ? series->value : (double)(int64_t)prom_sum(prom, series, 0);
}

static bool prom_is_utf8_tail(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

/* Backslash, quote and line feed are escaped; a sequence cut at the limit is dropped. */
static void prom_put_value(struct text *out, const char *value)
{
    size_t len = strlen(value);

    if (len == PROM_MAX_VALUE) {
        size_t start = len;

        while (start > 0 && prom_is_utf8_tail((unsigned char)value[start - 1])) {
            start--;
        }
        if (start > 0 && (unsigned char)value[start - 1] >= 0xc0) {
            start--;
        }
        len = start;
    }
    for (size_t i = 0; i < len; i++) {
        if (value[i] == '\\' || value[i] == '"') {
            text_put_char(out, '\\');
            text_put_char(out, value[i]);
        } else if (value[i] == '\n') {
            text_put(out, "\\n");
        } else {
            text_put_char(out, value[i]);
        }
    }
}

/* `name_suffix{labels,le="bound"} ` */
static void prom_put_name(struct text *out, const struct prom_series *series, const char *suffix,
                          const char *bound)
{
    const struct prom_row *row = &prom_rows[series->family];
    const char *value = series->key;
    const char *between = "{";

    text_put(out, row->name);
    text_put(out, suffix);
    for (size_t i = 0; row->labels[i] != NULL; i++) {
        text_put(out, between);
        text_put(out, row->labels[i]);
        text_put(out, "=\"");
        prom_put_value(out, value);
        text_put_char(out, '"');
        value += strlen(value) + 1;
        between = ",";
    }
    if (bound != NULL) {
        text_put(out, between);
        text_printf(out, "le=\"%s\"", bound);
        between = ",";
    }
    text_put(out, between[0] == '{' ? " " : "} ");
}

static void prom_put_histogram(struct prom *prom, const struct prom_series *series,
                               struct text *out)
{
    uint64_t count = 0;
    char bound[32];

    for (size_t i = 0; i < PROM_BOUNDS; i++) {
        count += prom_sum(prom, series, i);
        (void)snprintf(bound, sizeof(bound), "%g", prom_bounds[i]);
        prom_put_name(out, series, "_bucket", bound);
        text_printf(out, "%llu\n", (unsigned long long)count);
    }
    count += prom_sum(prom, series, PROM_BOUNDS);
    prom_put_name(out, series, "_bucket", "+Inf");
    text_printf(out, "%llu\n", (unsigned long long)count);
    prom_put_name(out, series, "_sum", NULL);
    text_printf(out, "%.9g\n", prom_sum_seconds(prom, series));
    prom_put_name(out, series, "_count", NULL);
    text_printf(out, "%llu\n", (unsigned long long)count);
}

static void prom_put_family(struct prom *prom, enum prom_family family, struct text *out)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    const struct prom_row *row = &prom_rows[family];

    text_printf(out, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help, row->name,
                kinds[row->kind]);
    for (struct prom_series *s = prom->first[family]; s != NULL; s = s->next_in_family) {
        if (s->is_hidden) {
            continue;
        }
        switch (row->kind) {
        case PROM_COUNTER:
            prom_put_name(out, s, "", NULL);
            text_printf(out, "%llu\n", (unsigned long long)prom_sum(prom, s, 0));
            break;
        case PROM_GAUGE:
            prom_put_name(out, s, "", NULL);
            text_printf(out, "%.17g\n", prom_gauge(prom, s));
            break;
        case PROM_HISTOGRAM:
            prom_put_histogram(prom, s, out);
            break;
        }
    }
}

bool prom_expose(struct prom *prom, struct text *out, struct gh_error *err)
{
    LOCK_HOLD(&prom->lock);
    for (int family = 0; family < PROM_FAMILY_COUNT; family++) {
        if (prom->first[family] != NULL) {
            prom_put_family(prom, (enum prom_family)family, out);
        }
    }
    if (!text_ok(out)) {
        return gh_fail(err, GH_INTERNAL_ERROR, "the metrics do not fit %zu bytes", out->limit);
    }
    return true;
}

double prom_value(struct prom *prom, enum prom_family family, const char *const *labels)
{
    char key[PROM_MAX_KEY];
    struct prom_series *series;
    uint64_t hash;
    size_t len = prom_key(family, labels, key, &hash);

    LOCK_HOLD(&prom->lock);
    series = prom_find(prom, family, key, len, hash);
    if (series == NULL || series->is_hidden) {
        return 0;
    }
    switch (prom_rows[family].kind) {
    case PROM_COUNTER:
        return (double)prom_sum(prom, series, 0);
    case PROM_GAUGE:
        return prom_gauge(prom, series);
    case PROM_HISTOGRAM:
        return prom_sum_seconds(prom, series);
    }
    return 0;
}
