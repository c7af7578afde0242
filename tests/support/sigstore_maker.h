/*
 * A private Sigstore stack made on the spot (authority, certificate logs, transparency logs,
 * time-stamp authorities; all P-256) and keyless bundles v0.3 by it. For tests and benches; a
 * fault in the making aborts.
 */
#ifndef TESTS_SUPPORT_SIGSTORE_MAKER_H
#define TESTS_SUPPORT_SIGSTORE_MAKER_H

#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "gatehouse.h"

#define SIGSTORE_MAKER_TIME 1790000000 /* when all was signed */
#define SIGSTORE_MAKER_ISSUER "https://issuer.test"
#define SIGSTORE_MAKER_SUBJECT "https://ci.test/workflow"
#define SIGSTORE_MAKER_MANIFEST "{\"schemaVersion\":2}"
#define SIGSTORE_MAKER_MAX 3

struct sigstore_maker;

/* A witness's cosignature: its name, and who signs. */
struct sigstore_maker_witness {
    const char *name;
    void *key; /* EVP_PKEY, Ed25519 */
};

/* What a bundle is made of. */
struct sigstore_make {
    unsigned logs;          /* one entry in each of the first so many logs */
    unsigned repeats;       /* further entries in the first log */
    unsigned scts;          /* by so many certificate logs … */
    unsigned sct_repeats;   /* … and further ones by the first */
    unsigned stamps;        /* by so many time-stamp authorities … */
    unsigned stamp_repeats; /* … and further ones by the first */
    int64_t stamp_offset_s; /* of the last time stamp, from SIGSTORE_MAKER_TIME */
    const struct sigstore_maker_witness *witnesses; /* cosign every checkpoint */
    unsigned witness_count;
};

struct sigstore_maker *sigstore_maker_new(void);
void sigstore_maker_free(struct sigstore_maker *maker);
/* The stack's trusted_root.json, names three of each log and authority: new, free(). */
char *sigstore_maker_root(const struct sigstore_maker *maker);
/* A bundle over SIGSTORE_MAKER_MANIFEST by a fresh leaf: new, free(). */
char *sigstore_maker_bundle(struct sigstore_maker *maker, const struct sigstore_make *make);

#endif
