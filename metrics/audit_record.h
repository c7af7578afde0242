/*
 * One line of the audit log:
 *
 *   {"seq":N,"time":"…","type":"…","prev":"<hash of the line before>",<members>,"hash":"<hash>"}
 *
 * The hash is SHA-256 over the line's bytes up to `,"hash":"`, so it covers the number, the time
 * and the previous hash; what stands behind it has one form only. No byte can change unseen.
 *
 * Threads: any; pure
 */
#ifndef METRICS_AUDIT_RECORD_H
#define METRICS_AUDIT_RECORD_H

#include "gatehouse.h"
#include "metrics/audit_note.h"

struct gh_error;
struct text;

#define AUDIT_MAX_BODY (64u * 1024)
#define AUDIT_MAX_LINE (AUDIT_MAX_BODY + 512)
#define AUDIT_MAX_TYPE 32

struct audit_record {
    uint64_t seq;
    char time[32];
    char type[AUDIT_MAX_TYPE + 1];
    uint8_t prev[AUDIT_HASH_BYTES];
    uint8_t hash[AUDIT_HASH_BYTES]; /* as the line says; audit_record_read() has checked it */
};

/*
 * Write a line with its line feed. BODY is a JSON object's text, its members go in as they are.
 *
 * Gives: hash: of the new record
 * Fails: INTERNAL_ERROR (a body that is no object on one line, or too long; memory)
 */
GH_CHECKED bool audit_record_write(struct text *out, uint64_t seq, int64_t unix_ms,
                                   const char *type, const uint8_t prev[AUDIT_HASH_BYTES],
                                   const char *body, size_t body_len,
                                   uint8_t hash[AUDIT_HASH_BYTES], struct gh_error *err);
/* Read a line (without its line feed) and check its form and its own hash. Fails: SIG_MALFORMED,
 * DIGEST_MISMATCH */
GH_CHECKED bool audit_record_read(const char *line, size_t len, struct audit_record *out,
                                  struct gh_error *err);
/* 64 hex digits and a NUL. */
void audit_hash_show(const uint8_t hash[AUDIT_HASH_BYTES], char out[2 * AUDIT_HASH_BYTES + 1]);
/* Fails on anything but 64 lower-case digits. */
bool audit_hash_read(const char *hex, size_t len, uint8_t out[AUDIT_HASH_BYTES]);

#endif
