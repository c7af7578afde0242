/*
 * What is remembered of a watched log: the last tree head that was found consistent, and the alarm
 * that stands. One small file for each log below storage.path/probe, replaced atomically, so that a
 * restart does not forget what a log has shown before.
 *
 * Threads: a memory belongs to one thread at a time
 */
#ifndef PROXY_PROBE_MEMORY_H
#define PROXY_PROBE_MEMORY_H

#include "crypto/bytes.h"
#include "gatehouse.h"
#include "metrics/error.h"

#define PROBE_MEMORY_MAX_BYTES (512u * 1024)

/* How the log is asked. */
enum probe_kind {
    PROBE_KIND_UNKNOWN = 0,
    PROBE_KIND_REKOR1, /* /api/v1/log */
    PROBE_KIND_REKOR2, /* /api/v2/checkpoint and /api/v2/tile/… */
    PROBE_KIND_TILED   /* /checkpoint and /tile/… */
};
const char *probe_kind_label(enum probe_kind kind);

struct probe_memory {
    enum probe_kind kind;
    struct bytes_buf head;   /* signed note; empty: nothing was seen yet */
    int64_t seen_unix_s;     /* when it was last confirmed or replaced */
    struct gh_error alarm;   /* no cause: none stands */
    int64_t alarm_unix_s;    /* since when */
    struct bytes_buf broken; /* the note that contradicts `head`; may be empty */
};

void probe_memory_done(struct probe_memory *memory);

/* KEY tells logs apart: tenant, root and address. */
/* Gives: *out: probe_memory_done(); all zero where nothing is remembered
 * Fails: VERDICT_STALE (the file cannot be used), INTERNAL_ERROR */
GH_CHECKED bool probe_memory_load(const char *storage, const char *key, struct probe_memory *out,
                                  struct gh_error *err);
/* Fails: INTERNAL_ERROR */
GH_CHECKED bool probe_memory_store(const char *storage, const char *key,
                                   const struct probe_memory *memory, struct gh_error *err);

/* The text of a file, and back. Fails: VERDICT_STALE, INTERNAL_ERROR */
GH_CHECKED bool probe_memory_parse(struct bytes json, struct probe_memory *out,
                                   struct gh_error *err);

#endif
