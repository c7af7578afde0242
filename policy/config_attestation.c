/*
 * Requirements for attestations: predicate types, typed checks, conditions.
 */
#include "policy/compile.h"

bool compile_attestation(struct compile *compile, const struct config_raw_require *raw,
                         struct require *leaf, struct fingerprint *fingerprint)
{
    (void)leaf;
    (void)fingerprint;
    config_error_at_key(&compile->reader, compile_node(&raw->at, "attestation"),
                        "attestations are not supported yet");
    return false;
}
