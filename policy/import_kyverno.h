/*
 * What the two halves of the Kyverno importer share. Private to policy/import_kyverno*.c.
 *
 * Threads: as import.h
 */
#ifndef POLICY_IMPORT_KYVERNO_H
#define POLICY_IMPORT_KYVERNO_H

#include "policy/import_work.h"

enum import_kyverno_type { KYVERNO_COSIGN, KYVERNO_BUNDLE, KYVERNO_NOTARY };

struct import_kyverno {
    struct import_at item; /* of verifyImages */
    enum import_kyverno_type type;
    const char *name;   /* of the policy */
    const char *before; /* a requirement is BEFORE, the signer's name, AFTER */
    const char *after;
};

/* A text without variables; NULL and refused, or absent. */
const char *import_kyverno_text(struct import_work *work, struct import_at at);
const char *import_kyverno_need(struct import_work *work, struct import_at at);
/* One requirement for each set of LIST. */
void import_kyverno_attestors(struct import_work *work, struct import_at list,
                              const struct import_kyverno *rule, unsigned depth,
                              struct import_strings *out);
/* The same for `key`, `issuer` and `subject` of the item itself. */
void import_kyverno_legacy(struct import_work *work, const struct import_kyverno *rule,
                           struct import_strings *out);

#endif
