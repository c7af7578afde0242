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

struct text;

struct compare_output {
    struct text *out;
    bool is_json;
    size_t count; /* differences written so far */
};

/* Write every difference. Modes are those in force at NOW. */
void compare_put(struct compare_output *output, const struct snapshot *a, const struct snapshot *b,
                 int64_t now_unix_s);

#endif
