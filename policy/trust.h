/*
 * Signers and roots, between the files that compile them.
 */
#ifndef POLICY_TRUST_H
#define POLICY_TRUST_H

#include "crypto/signer.h"
#include "gatehouse.h"
#include "policy/compile.h"

/* Give SIGNER the Sigstore root of that name. False when it cannot (recorded at NODE). */
bool trust_use_root(struct compile *compile, const char *name, const struct yaml_node *node,
                    struct signer *signer);
/* Compile the notation part of a signer. */
bool trust_notation(struct compile *compile, const struct config_raw_signer *raw,
                    struct signer *signer, struct fingerprint *fingerprint);
/* Load the certificates and lists of a root for notation. */
bool trust_store(struct compile *compile, struct compile_root *root);

#endif
