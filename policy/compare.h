/*
 * What two configurations ask differently: by policy (patterns, mode, requirements), by signer (who
 * is trusted) and by exception. Two clusters whose trust drifted apart is a classic failure.
 *
 * Threads: any.
 */
#ifndef POLICY_COMPARE_H
#define POLICY_COMPARE_H

#include "gatehouse.h"
#include "policy/snapshot.h"

struct config;
struct text;

/* One difference. Borrowed for the call; NULL values stand for "not there". */
struct compare_difference {
    const char *tenant; /* NULL: not told */
    const char *kind;   /* "policy", "signer", "exception"; "tenant", "upstream" */
    const char *name;
    const char *what; /* "only in a", "only in b", or what differs */
    const char *a;
    const char *b;
};

struct compare_output {
    struct text *out;
    bool is_json;
    const char *tenant; /* whose differences follow; NULL: not told */
    size_t count;       /* differences written so far */
    /* Instead of writing to `out`; NULL: write. */
    void (*each)(const struct compare_difference *difference, void *arg);
    void *arg;

    const struct snapshot *a, *b; /* set by compare_put() for itself */
};

/* Write every difference. Modes are those in force at NOW. */
void compare_put(struct compare_output *output, const struct snapshot *a, const struct snapshot *b,
                 int64_t now_unix_s);
/* The same for every tenant of both, with the names that lead to it and its upstreams. */
void compare_configs(struct compare_output *output, const struct config *a, const struct config *b,
                     int64_t now_unix_s);

#endif
