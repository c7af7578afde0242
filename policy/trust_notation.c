/*
 * Signers and trust stores of the Notary Project.
 */
#include "policy/trust.h"

bool trust_store(struct compile *compile, struct compile_root *root)
{
    config_error_at_key(&compile->reader, root->raw->at.node,
                        "certificates for notation are not supported yet");
    return false;
}

bool trust_notation(struct compile *compile, const struct config_raw_signer *raw,
                    struct signer *signer, struct fingerprint *fingerprint)
{
    (void)signer;
    (void)fingerprint;
    config_error_at_key(&compile->reader, raw->notation->at.node, "notation is not supported yet");
    return false;
}
