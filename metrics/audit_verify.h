/*
 * Checking and reading an audit log, by `gatehouse audit verify` and `audit query`: without the
 * writer, from files alone.
 *
 * Threads: any; no shared state.
 */
#ifndef METRICS_AUDIT_VERIFY_H
#define METRICS_AUDIT_VERIFY_H

#include "gatehouse.h"
#include "metrics/audit_record.h"
#include "metrics/error.h"

struct audit_verify_options {
    /* A head kept elsewhere, "SEQ-HASH" or "HASH": it must be in the chain. NULL for none. */
    const char *expect;
    /* Keys of checkpoints. Without, their form and their place in the chain are checked. */
    const struct audit_note_key *const *keys;
    size_t key_count;
};

/* Where the first fault is. */
struct audit_fault {
    bool is_found;
    size_t file;     /* index in the list of files */
    uint64_t line;   /* counted from 1; 0 when it is about the whole */
    uint64_t offset; /* of the line, in bytes */
    uint64_t seq;    /* of the record that should stand there; 0 when not known */
    struct gh_error error;
};

struct audit_verify_result {
    uint64_t records;
    uint64_t first_seq;
    uint64_t last_seq;
    uint8_t head[AUDIT_HASH_BYTES];
    uint64_t checkpoints;
    uint64_t signed_seq; /* the last record a checked checkpoint covers; 0 for none */
    uint64_t repairs;    /* torn lines that were cut and recorded */
    uint64_t gaps;       /* tails that were found missing at a start, and recorded */
    size_t torn_bytes;   /* behind the last line feed of the last file: a crash, no fault */
    struct audit_fault fault;
};

/*
 * Check files that make up one chain, in order.
 *
 * Gives: *result, in either case; fault says what is wrong first
 * Fails: with the fault's cause (SIG_MALFORMED, DIGEST_MISMATCH, SIG_INVALID, KEY_UNKNOWN), or
 *        INTERNAL_ERROR when a file cannot be read
 */
GH_CHECKED bool audit_verify(const char *const *paths, size_t count,
                             const struct audit_verify_options *options,
                             struct audit_verify_result *result, struct gh_error *err);

/* The check of one line after the other, for fuzzing and for what is not in files. */
struct audit_verify_state {
    const struct audit_verify_options *options;
    struct audit_verify_result result;
    bool has_expect;
    bool expect_is_found;
    uint64_t expect_seq; /* 0: any */
    uint8_t expect_hash[AUDIT_HASH_BYTES];
};
GH_CHECKED bool audit_verify_begin(struct audit_verify_state *state,
                                   const struct audit_verify_options *options,
                                   struct gh_error *err);
GH_CHECKED bool audit_verify_line(struct audit_verify_state *state, const char *line, size_t len,
                                  struct gh_error *err);
GH_CHECKED bool audit_verify_end(struct audit_verify_state *state, struct gh_error *err);

#define AUDIT_QUERY_MAX_FIELDS 16

/* Which records to show. */
struct audit_filter {
    const char *type;      /* NULL: all */
    int64_t since_unix_ms; /* 0: from the beginning */
    int64_t until_unix_ms; /* 0: to the end; not included */
    struct {
        const char *name; /* a member; "a.b" within an object */
        const char *value;
    } fields[AUDIT_QUERY_MAX_FIELDS]; /* all must be equal, as text */
    size_t field_count;
};

/* Whether a line is to be shown. Lines that are no records are not. */
bool audit_filter_match(const struct audit_filter *filter, const char *line, size_t len);
/* Call FN with each line of a file (without its line feed) until it says false. Lines longer than
 * AUDIT_MAX_LINE come as they are cut there. Fails: INTERNAL_ERROR */
typedef bool (*audit_line_fn)(const char *line, size_t len, uint64_t number, uint64_t offset,
                              bool is_torn, void *arg);
GH_CHECKED bool audit_each_line(const char *path, audit_line_fn fn, void *arg,
                                struct gh_error *err);

#endif
