/*
 * A growing text buffer with a ceiling, used to build JSON lines, answers and expositions. Once a
 * write failed (no memory, ceiling reached) the text stays failed and further writes do nothing, so
 * that a caller checks once, at the end, with text_ok().
 *
 * Threads: one at a time; no shared state.
 */
#ifndef METRICS_TEXT_H
#define METRICS_TEXT_H

#include "gatehouse.h"

struct text {
    char *data; /* NUL-terminated once anything was written; NULL before */
    size_t len;
    size_t capacity;
    size_t limit; /* bytes, without the NUL */
    bool is_failed;
};

/* Start empty. LIMIT is the ceiling in bytes. */
void text_init(struct text *text, size_t limit);
/* Free what it holds and start again empty with the same limit. Accepts a zeroed struct. */
void text_done(struct text *text);
/* Drop the content, keep the memory. */
void text_clear(struct text *text);
bool text_ok(const struct text *text);
/* The content, never NULL. Borrowed until the next write. */
const char *text_cstr(const struct text *text);
/* Move the content out: new, caller frees with free(). NULL when failed. */
char *text_take(struct text *text);

void text_put(struct text *text, const char *string);
void text_put_bytes(struct text *text, const void *data, size_t len);
void text_put_char(struct text *text, char c);
void text_put_number(struct text *text, uint64_t value);
void text_printf(struct text *text, const char *format, ...) GH_PRINTF(2, 3);
/* A JSON string with its quotes; control bytes escaped, invalid UTF-8 replaced by U+FFFD. */
void text_put_json(struct text *text, const char *string);
void text_put_json_bytes(struct text *text, const void *data, size_t len);
/* `"key":` with a comma in front unless it follows an opening brace or bracket. */
void text_put_key(struct text *text, const char *key);
void text_put_hex(struct text *text, const uint8_t *data, size_t len);
/* RFC 3339 in UTC with Z; milliseconds only when asked for. */
void text_put_time(struct text *text, int64_t unix_s);
void text_put_time_ms(struct text *text, int64_t unix_ms);

/* Write the parts one after the other into OUT, cut at SIZE - 1 bytes and closed by a NUL: what
 * printf's "%s%s" does, at a fraction of its cost. Gives the length. */
size_t text_join(char *out, size_t size, const char *const *parts, size_t count);
#define TEXT_JOIN(out, ...)                                                                        \
    text_join((out), sizeof(out), (const char *const[]){__VA_ARGS__},                              \
              sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

#endif
