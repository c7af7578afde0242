/*
 * The stored form of a verdict and of its uses. An envelope around the caller's opaque bytes: when
 * it was made, until when it holds, the whole key, what it rests on, and a MAC over all of it.
 *
 * Threads: any; no shared state.
 */
#ifndef CACHE_VERDICT_RECORD_H
#define CACHE_VERDICT_RECORD_H

#include "cache/verdict_cache.h"
#include "gatehouse.h"

#define VERDICT_RECORD_FORM 1
#define VERDICT_RECORD_REST_BYTES 33 /* kind and identifier */
#define VERDICT_RECORD_MAX_USE (8 + VERDICT_CACHE_MAX_WHO * (8 + 1 + VERDICT_CACHE_MAX_WHO_BYTES))

struct verdict_record {
    int64_t made_unix_s;
    int64_t until_unix_s;
    struct bytes key;
    struct bytes rests; /* VERDICT_RECORD_REST_BYTES each */
    struct bytes value;
    struct bytes covered; /* what the MAC covers */
    struct bytes mac;
};

/* Views into IN. False when it is malformed. Does not check the MAC; pure. */
bool verdict_record_read(struct bytes in, struct verdict_record *out);
/* Whether the MAC is this host's. */
bool verdict_record_is_ours(const struct store *store, const struct verdict_record *record);
/* *out: new, bytes_buf_done(). The caller has checked the limits of ENTRY. */
GH_CHECKED bool verdict_record_write(const struct store *store,
                                     const struct verdict_cache_entry *entry, int64_t now_unix_s,
                                     struct bytes_buf *out, struct gh_error *err);
void verdict_record_put_rest(uint8_t out[VERDICT_RECORD_REST_BYTES],
                             const struct verdict_cache_rest *rest);

/* Remember WHO in a bounded list: a known name's time moves on, else the oldest makes room. True
 * when that is worth writing. */
bool verdict_record_use_who(struct verdict_cache_use *use, const char *who, int64_t at_unix_s);
/* Merge what IN says into *use; stops at what it cannot read. */
void verdict_record_use_read(struct bytes in, struct verdict_cache_use *use);
/* The bytes written. */
size_t verdict_record_use_write(const struct verdict_cache_use *use,
                                uint8_t out[VERDICT_RECORD_MAX_USE]);

#endif
