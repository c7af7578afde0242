/*
 * The audit log: append-only, hash-chained JSON lines (audit_record.h), one chain, one writer.
 *
 *   PATH                       the log
 *   PATH.<20 digits>           earlier parts, by the number of their last record
 *   PATH.head                  number and hash of the record last made durable
 *
 * A record is write()n before the answer it records; it is synced at least every second by
 * audit_tick(). With a key, checkpoints are signed into the chain. What a crash tore off is cut and
 * recorded. Where a record cannot be written nothing is allowed: the caller denies with the cause.
 *
 * Threads: any. Locks of rank GH_RANK_AUDIT_SYNC (syncing, rotating) and GH_RANK_AUDIT (appending).
 */
#ifndef METRICS_AUDIT_H
#define METRICS_AUDIT_H

#include "gatehouse.h"
#include "metrics/audit_record.h"

struct gh_error;
struct audit;

#define AUDIT_ORIGIN "gatehouse/audit"
#define AUDIT_SYNC_MS 1000
#define AUDIT_MAX_GROUP 256

struct audit_config {
    const char *path;
    const char *origin;  /* the key's name in checkpoints; NULL for AUDIT_ORIGIN */
    const void *key_pem; /* Ed25519 private key; NULL: checkpoints are not signed */
    size_t key_pem_len;
    int64_t checkpoint_every_ms; /* 0: a minute */
    uint64_t rotate_bytes;       /* a log past this is rotated; 0: never */
};

/* Position in the chain. */
struct audit_head {
    uint64_t seq;
    uint8_t hash[AUDIT_HASH_BYTES];
};

/*
 * Open the log and go on with its chain; a torn last line is cut and recorded (type "repair"), a
 * tail that is shorter than what was known to be durable too (type "gap").
 *
 * Gives: *out: new, audit_close()
 * Fails: AUDIT_UNAVAILABLE saying what is wrong with which file
 */
GH_CHECKED bool audit_open(const struct audit_config *config, int64_t now_unix_ms,
                           struct audit **out, struct gh_error *err);
/* Checkpoint, sync, close. Accepts NULL. */
void audit_close(struct audit *audit, int64_t now_unix_ms);

struct audit_entry {
    const char *type; /* lower-case letters and _ */
    const char *body; /* one JSON object without line feeds; not seq, time, type, prev, hash */
    size_t body_len;
};

/*
 * Append records with one write(). All of them are in the file afterwards, or none.
 *
 * Gives: *head (may be NULL): the last of them
 * Fails: AUDIT_UNAVAILABLE: deny
 */
GH_CHECKED bool audit_append(struct audit *audit, const struct audit_entry *entries, size_t count,
                             int64_t now_unix_ms, struct audit_head *head, struct gh_error *err);

/* At least once a second from housekeeping: sync what is new; make a checkpoint and rotate when it
 * is time. Waits for the disk. Fails: AUDIT_UNAVAILABLE */
GH_CHECKED bool audit_tick(struct audit *audit, int64_t now_unix_ms, struct gh_error *err);
/* Make a checkpoint now, unless nothing is new. */
GH_CHECKED bool audit_checkpoint(struct audit *audit, int64_t now_unix_ms, struct gh_error *err);
/* Put the log aside under its numbered name and begin a new file; the chain goes on. */
GH_CHECKED bool audit_rotate(struct audit *audit, int64_t now_unix_ms, struct gh_error *err);
/* After SIGUSR1: when another program has moved the log away, begin a new file. */
GH_CHECKED bool audit_reopen(struct audit *audit, int64_t now_unix_ms, struct gh_error *err);

void audit_get_head(struct audit *audit, struct audit_head *out);
/* Records appended since audit_open(). */
uint64_t audit_count(struct audit *audit);

#endif
