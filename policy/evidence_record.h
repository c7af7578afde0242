/*
 * The list of evidence found for a subject, as it is stored: kinds, places, digests, annotations;
 * the blobs themselves are stored by digest. With it a verdict can be made again without asking the
 * registry.
 *
 * Threads: any; no shared state
 */
#ifndef POLICY_EVIDENCE_RECORD_H
#define POLICY_EVIDENCE_RECORD_H

#include "crypto/bytes.h"
#include "crypto/evidence.h"
#include "gatehouse.h"

struct gh_error;

#define EVIDENCE_RECORD_MAX_ITEMS 1024
#define EVIDENCE_RECORD_MAX_BYTES (4u * 1024 * 1024)
#define EVIDENCE_RECORD_MAX_ANNOTATIONS 64

/* A set that owns what its items point to. */
struct evidence_record {
    struct evidence_set set;
    struct evidence_item *items;
    struct evidence_annotation *annotations; /* of all items, in one array */
    struct bytes_buf *blobs;                 /* of each item; filled by the caller */
    void *doc;                               /* the parsed document, holding the strings */
};

/*
 * Write the items that were had in full (EVIDENCE_BROKEN is left out: what could not be fetched is
 * fetched again). Gives: *out: new, bytes_buf_done(). Fails: INTERNAL_ERROR.
 */
GH_CHECKED bool evidence_record_encode(const struct evidence_set *set, struct bytes_buf *out,
                                       struct gh_error *err);

/*
 * Read it back, without blobs: items[i].blob is empty until evidence_record_fill().
 *
 * Gives: *out: new, evidence_record_free()
 * Fails: VERDICT_STALE for any damage: callers go to the registry instead
 */
GH_CHECKED bool evidence_record_decode(struct bytes in, struct evidence_record **out,
                                       struct gh_error *err);
/* Hand over the blob of one item (taken); its digest is checked. Fails: DIGEST_MISMATCH. */
GH_CHECKED bool evidence_record_fill(struct evidence_record *record, size_t index,
                                     struct bytes_buf *blob, struct gh_error *err);
void evidence_record_free(struct evidence_record *record);
GH_DEFINE_FREEP(evidence_record, struct evidence_record)

#endif
