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

/* A key that is revoked in one place and trusted in another is still trusted there: nobody means
 * that. */
static void lint_revoked(struct compile *compile, const struct signer *signer,
                         const struct yaml_node *node)
{
    const struct snapshot *snapshot = &compile->tenant->snapshot;

    for (size_t i = 0; i < signer->key_count; i++) {
        const struct signer_key *key = &signer->keys[i];

        for (size_t s = 0; key->revoked == SIGNER_NOT_REVOKED && s < snapshot->signer_count; s++) {
            const struct signer *other = snapshot->signers[s];

            for (size_t k = 0; k < other->key_count; k++) {
                if (other->keys[k].revoked != SIGNER_NOT_REVOKED &&
                    key_equal(other->keys[k].key, key->key)) {
                    config_warning(&compile->reader, node,
                                   "the key %s is trusted by the signer \"%s\" and revoked in the "
                                   "signer \"%s\"",
                                   key->source, signer->name, other->name);
                }
            }
        }
    }
}

void compile_lint(struct compile *compile)
{
    const struct config_tenant *tenant = compile->tenant;
    int64_t now = compile->reader.now_unix_s;
    struct lint lint = {.compile = compile};

    for (size_t i = 0; i < tenant->snapshot.signer_count; i++) {
        const struct signer *signer = tenant->snapshot.signers[i];

        for (size_t r = 0; r < compile->raw.signers.count; r++) {
            if (strcmp(compile->raw.signers.items[r].at.name, signer->name) == 0) {
                lint.node = compile->raw.signers.items[r].at.node;
            }
        }
        trust_lint_signer(signer, now, TRUST_LINT_CADENCE_S, lint_on_finding, &lint);
        lint_revoked(compile, signer, lint.node);
    }
    for (size_t i = 0; i < tenant->root_count; i++) {
        for (size_t r = 0; r < compile->raw.roots.count; r++) {
            if (strcmp(compile->raw.roots.items[r].at.name, tenant->roots[i].name) == 0) {
                lint.node = compile->raw.roots.items[r].at.node;
            }
        }
        trust_lint_root(&tenant->roots[i], INT64_MIN, now, TRUST_LINT_CADENCE_S, lint_on_finding,
                        &lint);
    }
}
