/*
 * Transparency log entries as data, from a bundle's tlogEntries[] or cosign's bundle annotation.
 * Nothing here is checked against anything but its own form.
 *
 * Spec:    sigstore protobuf-specs rekor v1; cosign bundle annotation; verification.md section 4
 * Threads: an entry belongs to one thread while it is read, and is immutable after that
 */
#ifndef CRYPTO_REKOR_ENTRY_H
#define CRYPTO_REKOR_ENTRY_H

#include <jansson.h>

#include "crypto/bytes.h"
#include "gatehouse.h"

struct gh_error;

#define REKOR_MAX_ENTRIES 32
#define REKOR_MAX_BODY_BYTES (8u * 1024 * 1024)
#define REKOR_MAX_HASHES 64
#define REKOR_MAX_PROMISE_BYTES 1024
#define REKOR_MAX_ANNOTATION_BYTES (12u * 1024 * 1024)

struct rekor_entry {
    int64_t log_index; /* of the whole log, over all shards */
    uint8_t log_id[32];
    bool has_log_id;
    char kind[32]; /* "" where the source names none (annotation) */
    char version[16];
    int64_t integrated_unix_s; /* 0: none */
    struct bytes_buf promise;  /* signature of the promise; empty: none */
    struct bytes_buf body;     /* canonicalizedBody; empty: none (Rekor v2 may leave it out) */
    bool has_proof;
    bool has_proof_index; /* written out; proto-JSON leaves zeros out */
    bool has_proof_size;
    int64_t proof_index;
    uint64_t proof_size;
    bool has_proof_root;
    uint8_t proof_root[32];
    uint8_t (*hashes)[32];
    size_t hash_count;
    struct bytes_buf checkpoint; /* the signed note; empty: none */
};

/*
 * Read an element of tlogEntries[].
 *
 * Gives: *out: rekor_entry_done() frees what it owns
 * Fails: TLOG_ENTRY_MALFORMED, SIZE_LIMIT_EXCEEDED, COUNT_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool rekor_entry_read(const json_t *entry, struct rekor_entry *out,
                                 struct gh_error *err);
/* As rekor_entry_read(), the whole array: out[] has room for REKOR_MAX_ENTRIES, and of two entries
 * with the same log and index the second fails with TLOG_DUPLICATE_ENTRY. */
GH_CHECKED bool rekor_entries_read(const json_t *array, struct rekor_entry *out, size_t *count,
                                   struct gh_error *err);
/* As rekor_entry_read(), from the text of a `dev.sigstore.cosign/bundle` annotation. */
GH_CHECKED bool rekor_entry_read_annotation(struct bytes json, struct rekor_entry *out,
                                            struct gh_error *err);
void rekor_entry_done(struct rekor_entry *entry);

#endif
