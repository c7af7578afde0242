/*
 * Warnings about trust that will end or is changed over too fast, at every load: what `trust
 * status` tells of keys and roots, as far as it needs somebody to act before it breaks pulls.
 */
#include <string.h>

#include "crypto/key.h"
#include "policy/compile.h"
#include "policy/trust_lint.h"

struct lint {
    struct compile *compile;
    const struct yaml_node *node;
};

static void lint_on_finding(void *context, const struct trust_finding *finding)
{
    static const char *const told[] = {"key_overlap", "key_ahead", "root_ends", "list_unrefreshed"};
    struct lint *lint = context;

    for (size_t i = 0; i < GH_COUNT(told); i++) {
        if (strcmp(finding->rule, told[i]) == 0) {
            config_warning(&lint->compile->reader, lint->node, "%s", finding->text);
        }
    }
}

static bool lint_has_revoked(const struct signer *signer)
{
    bool has_revoked = false;

    for (size_t k = 0; k < signer->key_count; k++) {
        has_revoked = has_revoked || signer->keys[k].revoked != SIGNER_NOT_REVOKED;
    }
    return has_revoked;
}

/* A key that is revoked in one place and trusted in another is still trusted there: nobody means
 * that. REVOKER has revoked some. */
static void lint_revoked(struct compile *compile, const struct signer *revoker,
                         const struct compile_signer *other)
{
    const struct signer *signer = other->signer;

    for (size_t i = 0; signer != NULL && i < signer->key_count; i++) {
        const struct signer_key *key = &signer->keys[i];

        for (size_t k = 0; key->revoked == SIGNER_NOT_REVOKED && k < revoker->key_count; k++) {
            if (revoker->keys[k].revoked != SIGNER_NOT_REVOKED &&
                key_equal(revoker->keys[k].key, key->key)) {
                config_warning(&compile->reader, other->raw->at.node,
                               "the key %s is trusted by the signer \"%s\" and revoked in the "
                               "signer \"%s\"",
                               key->source, signer->name, revoker->name);
            }
        }
    }
}

static void lint_signers(struct compile *compile)
{
    size_t count = compile->signers != NULL ? compile->raw.signers.count : 0;
    struct lint lint = {.compile = compile};

    for (size_t i = 0; i < count; i++) {
        const struct signer *signer = compile->signers[i].signer;
        bool has_revoked = signer != NULL && lint_has_revoked(signer);

        if (signer == NULL) {
            continue;
        }
        lint.node = compile->signers[i].raw->at.node;
        trust_lint_signer(signer, compile->reader.now_unix_s, TRUST_LINT_CADENCE_S, lint_on_finding,
                          &lint);
        for (size_t k = 0; has_revoked && k < count; k++) {
            lint_revoked(compile, signer, &compile->signers[k]);
        }
    }
}

void compile_lint(struct compile *compile)
{
    const struct config_tenant *tenant = compile->tenant;
    struct lint lint = {.compile = compile};

    lint_signers(compile);
    for (size_t i = 0; i < tenant->root_count; i++) {
        for (size_t r = 0; r < compile->raw.roots.count; r++) {
            if (strcmp(compile->raw.roots.items[r].at.name, tenant->roots[i].name) == 0) {
                lint.node = compile->raw.roots.items[r].at.node;
            }
        }
        trust_lint_root(&tenant->roots[i], INT64_MIN, compile->reader.now_unix_s,
                        TRUST_LINT_CADENCE_S, lint_on_finding, &lint);
    }
}
